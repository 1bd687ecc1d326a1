"""The repository itself: what is shipped is whole, and what is written is true."""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from runpy import run_path

import pytest

import bayes_rare as br


def listed(root: Path, *folders: str) -> list[Path]:
    """Files that git tracks or would track, relative to the root."""
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("needs git and a clone: this checks what is tracked")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(
        [*command, "--", *folders], cwd=root, capture_output=True, check=True
    )
    names = answer.stdout.decode().split("\0")
    return [Path(name) for name in sorted(set(names)) if (root / name).is_file()]


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from the source distribution as an installer would."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run([*build, "--target", "sdist"], cwd=root, check=True)
    (sdist,) = folder.glob("*.tar.gz")
    shutil.unpack_archive(sdist, folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    subprocess.run([*build, "--target", "wheel"], cwd=source, check=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.outside
def test_a_wheel_holds_every_file_of_the_package_and_every_model(
    root: Path, wheel: Path
) -> None:
    tracked = listed(root, "bayes_rare", "models")
    wanted = {
        Path("bayes_rare", path) if path.parts[0] == "models" else path
        for path in tracked
    }
    shipped = {Path(name) for name in zipfile.ZipFile(wheel).namelist()}
    assert wanted
    assert wanted == {path for path in shipped if path.parts[0] == "bayes_rare"}


@pytest.mark.outside
def test_an_installed_wheel_finds_its_models_and_its_sample(
    root: Path, wheel: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)  # all that installing a pure wheel does
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from bayes_rare import catalog\n"
        "from bayes_rare.readers.tables.sample import SAMPLE\n"
        "assert SAMPLE.is_file(), SAMPLE\n"
        "print(catalog.FOLDER, *catalog.names())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    models = sorted(path.stem for path in (root / "models").glob("[!_]*.py"))
    assert answer.stdout.split() == [str(tmp_path / "bayes_rare" / "models"), *models]


def places_named(text: str, places: list[Path]) -> list[str]:
    """Absolute paths in a text that lie in one of some folders."""
    names = "|".join(re.escape(str(place)) for place in places)
    return re.findall(rf"(?<![\w.~-])(?:{names})/\w+", text)


def test_no_file_names_a_place_on_this_machine(root: Path) -> None:
    candidates = {root, root.parent, Path.home(), Path(tempfile.gettempdir())}
    places = [place for place in candidates if place != Path(place.anchor)]
    found = {
        str(path): named
        for path in listed(root)
        if b"\0" not in (content := (root / path).read_bytes())
        if (named := places_named(content.decode(), places))
    }
    assert not found


def test_that_a_place_would_be_found_and_an_address_would_not() -> None:
    text = "open /home/you/notes, https://example.org/home/you and ~/home/you"
    assert places_named(text, [Path("/home")]) == ["/home/you"]


@pytest.mark.parametrize(
    "behaviours",
    [pytest.param(2, marks=pytest.mark.slow), pytest.param(6, marks=pytest.mark.long)],
)
def test_the_program_in_the_readme_runs(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviours: int
) -> None:
    """With so many behaviours of the sample; six take minutes."""
    whole = br.sample_split

    def some(queries: int) -> tuple[br.Evaluation, ...]:
        parts = whole(queries)
        assert len(parts[0].behaviours) == 6
        return tuple(part.select(part.behaviours[:behaviours]) for part in parts)

    monkeypatch.setattr(br, "sample_split", some)
    readme = (root / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    assert programs, "the README shows no Python"
    monkeypatch.chdir(tmp_path)
    for program in programs:
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
    assert (tmp_path / "scaling.png").stat().st_size > 0


def test_the_table_of_faults_in_the_docs_is_what_the_script_tries(root: Path) -> None:
    script = run_path(str(root / "benchmarks" / "faults.py"))
    rows = [fault.row(whom) for fault in script["faults"]() for whom in fault.whom]
    text = (root / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| ")][1:] == rows
