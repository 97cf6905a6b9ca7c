class tqdm(tqdm_module.tqdm):
    """A progress bar on standard output, because notebooks paint standard error red."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{"file": sys.stdout, "mininterval": 1.0, "ncols": 90, **kwargs})


class CheckFailed(AssertionError):
    """A failed check, shown in one line instead of a long traceback."""

    def _render_traceback_(self):
        return [f"Check failed. {self}"]


def explain(error):
    """What went wrong, in one sentence, with the line of this notebook that raised it."""
    frames = [(f, n) for f, n in traceback.walk_tb(error.__traceback__) if f.f_globals is globals()]
    frame, line_number = frames[-1] if frames else (None, 0)
    where = frame.f_code.co_qualname if frame else "your code"
    if isinstance(error, NotImplementedError):
        return f"{where} is not filled in yet."
    if isinstance(error, AssertionError) and str(error) and (where[0] == "<" or where.startswith("check_")):
        return str(error)  # written for you, in the check itself
    line = linecache.getline(frame.f_code.co_filename, line_number).strip() if frame else ""
    return f"{type(error).__name__}: {error} (in {where}, line {line_number} of its cell: {line})"


CHECKS = {}  # title of a quick check -> did it pass? The last cell of the notebook lists them.


@contextmanager
def public_check(title):
    """Run a few checks quietly: print `ok` when they hold, else raise one short error."""
    CHECKS[title], problem = False, None
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        problem = explain(error)
    if problem is not None:
        raise CheckFailed(f"{title}: {problem}") from None
    CHECKS[title] = True
    print(f"ok: {title}")


def check_type(value, kind, what):
    """Fail unless `value` is a `kind`."""
    assert isinstance(value, kind), f"{what} should be of type {kind.__name__}, but is of type {type(value).__name__}."


def check_tensor(value, shape, what):
    """Fail unless `value` is a tensor of this shape with finite values."""
    check_type(value, torch.Tensor, what)
    assert tuple(value.shape) == tuple(shape), f"{what} should have shape {tuple(shape)}, but has {tuple(value.shape)}."
    assert torch.isfinite(value.float()).all(), f"{what} holds nan or infinite values."


def check_close(value, expected, what, atol=1e-4):
    """Fail unless `value` has the shape and, within `atol`, the values of `expected`."""
    expected = torch.as_tensor(expected)
    check_tensor(value, expected.shape, what)
    gap = (value.detach().double() - expected.detach().double()).abs().max().item()
    found = "has the right shape, but its values are off by up to" if expected.ndim else "is off by"
    assert gap <= atol, f"{what} {found} {gap:.2g}."


def check_pair(value, what):
    """Fail unless `value` is a tuple of two things."""
    assert isinstance(value, tuple) and len(value) == 2, (
        f"{what} should return a tuple of two, but returns a {type(value).__name__}."
    )


@contextmanager
def demo():
    """Run a demonstration; while a cell that it needs is unfinished, say so in one line."""
    try:
        yield
    except (NotImplementedError, NameError) as error:
        print(f"Nothing to show yet, because a cell above is unfinished or was not run. {explain(error)}")
