def install_missing():
    """Let pip install the packages that are not there or too old."""
    import importlib.metadata
    import subprocess

    wanted = []
    for package, oldest in PACKAGES.items():
        try:
            found = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found = "0"
        if [int(n) for n in re.findall(r"\d+", found)[:2]] < [int(n) for n in oldest.split(".")]:
            wanted.append(f"{package}>={oldest}")
    if wanted:
        print("installing", ", ".join(wanted), flush=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
