# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Word counts
#
# A small assignment: count words, then find the most frequent one.

# %% nbgrader={"grade": false, "grade_id": "setup-imports", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
from pathlib import Path

# %% nbgrader={"grade": false, "grade_id": "setup-data", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["setup"]
ROWS = [line.split("\t") for line in Path("data/word_rows/train.tsv").read_text(encoding="utf-8").splitlines()[1:]]

# %% [markdown]
# ## Counting


# %% nbgrader={"grade": false, "grade_id": "count-words", "locked": false, "schema_version": 3, "solution": true, "task": false}
def count_words(text):
    """How often each word of a text occurs, as a dict."""
    ### BEGIN SOLUTION
    counted_so_far = {}
    for one_word in text.split():
        counted_so_far[one_word] = counted_so_far.get(one_word, 0) + 1
    return counted_so_far
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "count-words-tests", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
assert count_words("b") == {"b": 1}, "one word occurs once"
print("ok: one word")

# %% [markdown]
# ## The most frequent word


# %% nbgrader={"grade": false, "grade_id": "most-frequent", "locked": false, "schema_version": 3, "solution": true, "task": false}
def most_frequent(text):
    """The word that occurs most often; the first in the alphabet where several do."""
    ### BEGIN SOLUTION
    found_counts = count_words(text)
    return min(found_counts, key=lambda candidate: (-found_counts[candidate], candidate))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "most-frequent-tests", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
assert most_frequent("b") == "b", "the only word is the most frequent one"
print("ok: the only word")

# %% nbgrader={"grade": false, "grade_id": "demo-rows", "locked": true, "schema_version": 3, "solution": false, "task": false} tags=["demo"]
print(len(ROWS), most_frequent(ROWS[0][1]))

# %% [markdown] nbgrader={"grade": true, "grade_id": "q1-why", "locked": false, "points": 1, "schema_version": 3, "solution": true, "task": false}
# A dictionary finds each counted word in constant time, so a text of n words takes about n steps.
