"""The documentation: complete, up to date, and its examples work as they are written.

In a page, a Python block whose first line is a comment ``# name.py`` is that file;
the others are one program, in their order. A block of ini that has a section
``[metrics]`` is a whole file, others are parts of one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

import appmetrics
import appmetrics.testing
from appmetrics.cli import main
from appmetrics.config import check_file
from servers import PATIENCE, free_port, get, wait_for

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
README = ROOT / "README.md"
#: Their blocks are steps, which tests of their own take one by one.
STORIES = (README, DOCS / "ten-minutes.md")

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.(?:py|ini))\n")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The file that it says it is, if any."""
        match = _FILE.match(self.text)
        return match[1] if match else ""


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of a page in one language."""
    text = page.read_text("utf-8")
    found = (
        Block(page, text.count("\n", 0, match.start()) + 1, match[1], textwrap.dedent(match[2]))
        for match in _BLOCK.finditer(text)
    )
    return [block for block in found if block.language == language]


def name_of(value: object) -> str:
    """A page or a block as part of a test's name."""
    if isinstance(value, Block):
        return f"{name_of(value.page)}:{value.line}"
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


def with_blocks(pages: Sequence[Path], language: str) -> list[Path]:
    """The pages that have blocks in a language."""
    return [page for page in pages if blocks(page, language)]


def everything() -> str:
    """The text of all pages."""
    return "\n".join(page.read_text("utf-8") for page in PAGES)


def missing(words: Sequence[str], text: str) -> list[str]:
    """The words that do not stand in a text as whole words."""
    return [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


# -- complete ------------------------------------------------------------------


@pytest.fixture
def option_tables() -> Any:
    """The module in docs/ that writes the option tables."""
    spec = importlib.util.spec_from_file_location("option_tables", DOCS / "option_tables.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_option_is_documented(option_tables: Any) -> None:
    """Each option table of the code stands in a page, as it is now."""
    tables = option_tables.all_tables()
    placed = [name for page in PAGES for name in option_tables.placed(page.read_text("utf-8"))]
    assert set(tables) - set(placed) == set(), "no page has <!-- options: NAME --> for these"
    stale = [
        name_of(page)
        for page in PAGES
        if option_tables.renewed(text := page.read_text("utf-8"), tables) != text
    ]
    assert stale == [], "out of date; run: python docs/option_tables.py"


def test_every_public_name_is_documented() -> None:
    """Each name of appmetrics and of appmetrics.testing appears in a page."""
    names = [*appmetrics.__all__, *appmetrics.testing.__all__]
    assert missing(names, everything()) == []


def test_every_command_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """Each command, and each option of each, appears on the page about them."""
    page = (DOCS / "command-line.md").read_text("utf-8")
    commands = re.findall(r"^ {4}([\w-]+)\s", helped(capsys), re.MULTILINE)
    assert {"check", "show", "explain", "graphite-rules", "demo"} <= set(commands)
    assert [command for command in commands if f"\n## {command}\n" not in page] == []
    for command in commands:
        if command != "demo" or importlib.util.find_spec("waitress"):
            options = set(re.findall(r"(?<!\w)--\w[\w-]*", helped(capsys, command)))
            assert missing(sorted(options - {"--help"}), page) == [], command


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What ``--help`` prints."""
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return capsys.readouterr().out


def test_every_environment_variable_is_documented() -> None:
    """Each APPMETRICS_... that the code names appears in a page."""
    sources = [path.read_text("utf-8") for path in (ROOT / "appmetrics").rglob("*.py")]
    names = sorted({name for text in sources for name in re.findall(r"\bAPPMETRICS_\w+", text)})
    assert names
    assert missing(names, everything()) == []


def test_what_a_handler_may_override_exists() -> None:
    """The methods that the page about handlers offers for overriding are the base class'."""
    page = (DOCS / "writing-a-handler.md").read_text("utf-8")
    table = page.partition("## What else can be overridden")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)\(\w*\)`", table)
    assert named
    assert [name for name in named if not hasattr(appmetrics.Handler, name)] == []


# -- links ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", [*PAGES, README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name_of
)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link to a file, and to a heading in one, finds it."""
    broken = []
    for link in _LINK.findall(_BLOCK.sub("", page.read_text("utf-8"))):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as MyST and the usual forges make them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- examples ------------------------------------------------------------------


@pytest.fixture
def files(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A folder with the Python files of the block's page, from where they can be imported."""
    written = write_files(request.getfixturevalue("block").page, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in written:
        sys.modules.pop(name.removesuffix(".py"), None)


def write_files(page: Path, folder: Path) -> list[str]:
    """Write the files that a page consists of; returns their names."""
    found = [b for language in ("python", "ini") for b in blocks(page, language) if b.file]
    for block in found:
        (folder / block.file).write_text(block.text, "utf-8")
    return [block.file for block in found]


@pytest.mark.parametrize(
    "block", [block for page in (*PAGES, README) for block in blocks(page, "ini")], ids=name_of
)
def test_configurations_are_right(
    block: Block, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ini block is accepted, and `check` finds nothing in it that is surely not meant."""
    monkeypatch.setenv("APP_ENV", "test")
    path = files / "block.ini"
    path.write_text(block.text, "utf-8")
    checked = check_file(path)
    part = "[metrics]" not in block.text
    assert list(map(str, checked.problems)) == []
    assert [str(w) for w in checked.warnings if not (part and w.message == "nothing uses it")] == []


@pytest.mark.parametrize("page", with_blocks([*PAGES, README], "python"), ids=name_of)
def test_python_examples_compile(page: Path) -> None:
    """Each Python block is Python."""
    for block in blocks(page, "python"):
        compile(block.text, name_of(block), "exec")


@pytest.mark.parametrize(
    "page",
    [page for page in with_blocks(PAGES, "python") if page not in STORIES],
    ids=name_of,
)
def test_python_examples_run(page: Path, tmp_path: Path) -> None:
    """The Python blocks of a page, one after the other, raise nothing; its tests pass."""
    written = write_files(page, tmp_path)
    program = [f"# {name_of(b)}\n{b.text}" for b in blocks(page, "python") if not b.file]
    (tmp_path / "program_of_the_page.py").write_text("\n".join(program), "utf-8")
    run(tmp_path, "program_of_the_page.py")
    for name in written:
        if name.startswith("test_"):
            run_pytest(tmp_path, name)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; fails if that does."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def environment(folder: Path) -> dict[str, str]:
    """The environment without configurations of ours, with the folder's modules."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("APPMETRICS_")}
    path = [str(folder), *filter(None, [os.environ.get("PYTHONPATH", "")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path), "PYTHONDONTWRITEBYTECODE": "1"}


def run_pytest(folder: Path, name: str) -> None:
    """Run a file of tests, with the plugin as if it were installed."""
    installed = any(point.name == "appmetrics" for point in entry_points(group="pytest11"))
    plugin = () if installed else ("-p", "appmetrics.testing.plugin")
    done = run(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, name)
    assert re.search(r"\d+ passed", done.stdout), done.stdout


# -- the first ten minutes -----------------------------------------------------


class Story:
    """The steps of a page: a program, its configuration, a handler, a test.

    ``program`` is the block that prints by ``basic_config``, ``configure`` the lines
    that take the place of that, ``ini`` the first configuration that serves a page.
    """

    def __init__(self, page: Path, folder: Path) -> None:
        python = blocks(page, "python")
        self.folder = folder
        self.page = page
        self.program = next(b.text for b in python if "basic_config" in b.text)
        self.configure = next(
            b.text for b in python if "configure(" in b.text and "import" not in b.text
        )
        inis = [b.text for b in blocks(page, "ini") if "[metrics]" in b.text]
        self.ini = next(ini for ini in reversed(inis) if "class = http" in ini)
        self.handler = next(b.text for b in python if "def emit" in b.text)
        self.test = next(b.text for b in python if "(metrics)" in b.text)
        self.commands = re.findall(r"^appmetrics (.+)$", page.read_text("utf-8"), re.MULTILINE)
        self.port = free_port()
        self.running: Any = None

    def write_program(self, text: str) -> None:
        """Write a program, such that it ends only when it is told to."""
        (self.folder / "hello.py").write_text(
            re.sub(r"range\(\d+\)", "range(10**6)", text), "utf-8"
        )

    def configured(self) -> None:
        """Write the program that reads a file, and the file, with a free port."""
        line = re.search(r"^( *)appmetrics\.basic_config.*$", self.program, re.MULTILINE)
        assert line
        self.write_program(self.program.replace(line[0], textwrap.indent(self.configure, line[1])))
        listen = f"class = http\nlisten = 127.0.0.1:{self.port}\n"
        ini = re.sub(r"class = http\n(listen = .*\n)?", listen, self.ini)
        (self.folder / "metrics.ini").write_text(ini, "utf-8")

    def add_handler(self, module: str, dotted: str) -> None:
        """Write the page's handler, and name it in the configuration."""
        (self.folder / f"{module}.py").write_text(self.handler, "utf-8")
        ini = (self.folder / "metrics.ini").read_text("utf-8")
        ini = re.sub(r"^handlers = .*$", r"\g<0>, mine", ini, count=1, flags=re.MULTILINE)
        ini += f"\n[metrics.handler.mine]\nclass = {dotted}\n"
        (self.folder / "metrics.ini").write_text(ini, "utf-8")

    def start(self) -> subprocess.Popen[str]:
        """Start the program."""
        self.running = subprocess.Popen(
            [sys.executable, "hello.py"],
            cwd=self.folder,
            env=environment(self.folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.running

    def printed(self, stream: IO[str] | None, word: str) -> str:
        """The next line of the program that holds a word."""
        assert stream
        timer = threading.Timer(PATIENCE, self.running.kill)
        timer.start()
        try:
            line = next((line for line in stream if word in line.lower()), "")
        finally:
            timer.cancel()
            timer.join()
        assert line, self.running.communicate()
        return line

    def ask(self) -> list[str]:
        """Wait for the page, and try each command of the text; returns what they print."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        wait_for(lambda: b"hello_greetings_total" in get(url), "the page")
        page = get(url + "?format=html").decode()
        assert "<html" in page.lower()
        return [
            run(self.folder, "-m", "appmetrics", *self.ported(command).split()).stdout
            for command in self.commands
        ]

    def ported(self, command: str) -> str:
        """A command of the text, with the port that was free."""
        return command.replace("9464", str(self.port))


def end(program: subprocess.Popen[str]) -> tuple[str, str]:
    """End a program as Ctrl-C does; returns what it printed."""
    program.send_signal(signal.SIGINT)
    return program.communicate(timeout=PATIENCE)


@pytest.fixture(params=STORIES, ids=name_of)
def story(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Story]:
    """The story of the README, and that of the ten minutes."""
    story = Story(request.param, tmp_path)
    yield story
    if story.running is not None:
        with story.running as program:
            program.kill()


def test_hello_prints_its_metrics(story: Story) -> None:
    """The first program prints a line for each metric, and the last ones when it ends."""
    story.write_program(story.program)
    program = story.start()
    assert " counter " in story.printed(program.stderr, "hello.greetings")
    _, rest = end(program)
    assert "hello.greetings" in rest


def test_the_file_takes_over(story: Story) -> None:
    """With the ini file of the text, the page, the commands and the lines are as it says."""
    story.configured()
    checked = run(story.folder, "-m", "appmetrics", "check", "metrics.ini").stdout
    assert "metrics.ini: can be used: handlers page" in checked
    program = story.start()
    printed = "\n".join(story.ask())
    wait_for((story.folder / "metrics.json").stat, "the lines")
    end(program)
    assert "counter of meter hello" in printed
    assert "hello.greetings" in printed
    assert '"metric":"hello.greetings"' in (story.folder / "metrics.json").read_text("utf-8")


def test_the_handler_of_the_text_works(story: Story) -> None:
    """A handler of one's own is found by its dotted path and gets the samples."""
    story.configured()
    name = re.search(r"class (\w+)\(Handler\)", story.handler)
    assert name
    dotted = next(
        dotted
        for dotted in re.findall(r"class = ([\w.]+)", story.page.read_text("utf-8"))
        if dotted.endswith(f".{name[1]}")
    )
    story.add_handler(dotted.partition(".")[0], dotted)
    program = story.start()
    assert re.search(r"\d", story.printed(program.stdout, "hello.greetings"))
    end(program)


def test_the_test_of_the_text_passes(story: Story) -> None:
    """The test of one's own code is right, and fails where the code is not."""
    story.configured()
    ordering = """
        import appmetrics
        orders = appmetrics.get_meter("shop").counter("orders", labels=("shop",))
        def place_order(shop):
            orders.labels(shop).inc()
    """
    text = textwrap.dedent(ordering) + story.test if "place_order" in story.test else story.test
    (story.folder / "test_mine.py").write_text(text, "utf-8")
    run_pytest(story.folder, "test_mine.py")
    for name in ("hello.py", "test_mine.py"):
        path = story.folder / name
        path.write_text(re.sub(r"\.inc\(\)", ".inc(2)", path.read_text("utf-8")), "utf-8")
    with pytest.raises(AssertionError, match="appmetrics: changed in this test"):
        run_pytest(story.folder, "test_mine.py")
