"""Links for courses whose releases are in a public repository: open the notebook in Colab, fetch its data there."""

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import NbGraderPreprocessor
from traitlets import Unicode

OPEN = "https://colab.research.google.com/github/{repository}/blob/{branch}/{folder}/{assignment}/{name}.ipynb"
FILES = "https://raw.githubusercontent.com/{repository}/{branch}/{folder}/{assignment}"
EMPTY = 'COURSE_FILES = ""'


class ColabLinks(NbGraderPreprocessor):
    """Without a repository, which is the default, nothing is changed."""

    repository = Unicode(help="OWNER/NAME of the public repository that the releases stand in").tag(config=True)
    branch = Unicode("main", help="Its branch").tag(config=True)
    folder = Unicode("release", help="The folder in it that holds a folder for each assignment").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        if not self.repository:
            return nb, resources
        place = {"repository": self.repository, "branch": self.branch, "folder": self.folder}
        place |= {"assignment": resources["nbgrader"]["assignment"], "name": resources["metadata"]["name"]}
        first = next(cell for cell in nb.cells if cell.cell_type == "markdown")
        first.source = f"[Open in Colab]({OPEN.format(**place)})\n\n{first.source}"
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.source = cell.source.replace(EMPTY, f'COURSE_FILES = "{FILES.format(**place)}"', 1)
        return nb, resources
