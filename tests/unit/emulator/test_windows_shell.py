"""The stand-in for cmd: ``if``, ``for``, ``set`` and batch files, as their documentation has them and as samples use them."""

from __future__ import annotations

import re
import subprocess
from io import BytesIO
from pathlib import Path

import pytest

from azure_batch_emulator.executors import windows_arithmetic as arithmetic
from azure_batch_emulator.executors import windows_syntax as syntax
from azure_batch_emulator.executors.windows import launch
from azure_batch_emulator.executors.windows_drive import Drive
from azure_batch_emulator.executors.windows_session import Session
from azure_batch_emulator.executors.windows_shell import Shell, eight_bits
from support.emulator_thread import wait_until


def run(folder: Path, line: str, typed: str = "", **variables: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``cmd /c``."""
    session = Session(str(folder), variables)
    session.drive = Drive(str(folder), folder)
    streams = [BytesIO(typed.encode()), BytesIO(), BytesIO()]
    session.streams = list(streams)
    code = Shell(session).run(line)
    return code, streams[1].getvalue().decode().replace("\r\n", "\n"), streams[2].getvalue().decode()


def batch(
    folder: Path, text: str, line: str = "call job.bat", typed: str = "", **variables: str
) -> tuple[int, str, str]:
    """A batch file of that text, run."""
    (folder / "job.bat").write_text(text, newline="\r\n")
    return run(folder, line, typed, **variables)


@pytest.mark.parametrize(
    ("line", "code", "stdout"),
    [
        ("if 1==1 echo yes", 0, "yes\n"),
        ("if 1==2 echo yes & echo more", 0, ""),
        ("if 1==2 (echo yes) else echo no", 0, "no\n"),
        ("if 1==1 (echo yes) else (echo no)", 0, "yes\n"),
        ("if 1==2 (echo a) else if 2==2 (echo b) else echo c", 0, "b\n"),
        ("if /i A==a echo same", 0, "same\n"),
        ("if A==a echo same", 0, ""),
        ('if "%V%"=="x y" echo same', 0, "same\n"),
        ("if not exist none echo absent", 0, "absent\n"),
        ("if exist f.txt (type f.txt) else exit /b 3", 0, "one\ntwo words\n"),
        ("if exist none (echo x) else exit /b 3", 3, ""),
        ("if defined V echo set", 0, "set\n"),
        ("if not defined W echo unset", 0, "unset\n"),
        ("type none 2>nul & if errorlevel 1 echo failed", 0, "failed\n"),
        ("if 10 gtr 9 echo more", 0, "more\n"),
        ("if b GEQ a echo later", 0, "later\n"),
        ("for %i in (a b,c) do echo [%i]", 0, "[a]\n[b]\n[c]\n"),
        ("for %i in (*.txt) do @echo %~ni%~xi", 0, "f.txt\n"),
        ("for %i in (none*) do echo %i", 0, ""),
        ("for /d %d in (*) do echo %d", 0, "sub\n"),
        ("for /l %n in (1,2,5) do echo %n", 0, "1\n3\n5\n"),
        ("for /l %n in (3,-1,1) do (echo %n& echo -)", 0, "3\n-\n2\n-\n1\n-\n"),
        ("for /f %w in (f.txt) do echo %w", 0, "one\ntwo\n"),
        ('for /f "tokens=1,2" %a in ("x y z") do echo %b%a', 0, "yx\n"),
        ('for /f "tokens=1* delims=;" %a in ("x;y;z") do echo %a %b', 0, "x y;z\n"),
        ('for /f "skip=1 delims=" %l in (f.txt) do echo %l', 0, "two words\n"),
        ("for /f %w in ('echo made') do echo %w!", 0, "made!\n"),
        ("for %i in (a) do if %i==a (echo hit) else echo miss", 0, "hit\n"),
        ("for %i in (a b) do echo %i> %i.log & type %i.log", 0, "a \nb \n"),
        ("set /a 1+2*3", 0, "7"),
        ('set /a "X=(4+5)/2, Y=X<<1"& set X', 0, "8X=4\n"),
        ('set /a "N=7 % 4"& cmd /c set N', 0, "3N=3\n"),
        ("set /a 1/0", 1073750993, ""),
        ("set /p X=name: & set X", 0, "name:X=typed\n"),
        ("set /p X=<f.txt & set X", 0, "X=one\n"),
        ("echo %V:~0,1%", 0, "x\n"),
        ("(echo a & exit /b 4) || echo no", 4, "a \n"),
        ("echo %ERRORLEVEL%", 0, "0\n"),
        ("if", 1, ""),
        ("for %i in (a) echo", 1, ""),
        ("for /r %i in (*) do echo %i", 1, ""),
        ("goto nowhere", 0, ""),
    ],
)
def test_lines(tmp_path: Path, line: str, code: int, stdout: str) -> None:
    (tmp_path / "f.txt").write_text("one\ntwo words\n")
    (tmp_path / "sub").mkdir()
    found = run(tmp_path, line, "typed\r\nmore\r\n", V="x y")
    assert found[:2] == (code, stdout), found[2]


@pytest.mark.parametrize(
    ("text", "code", "stdout"),
    [
        ("@echo off\necho one\nexit /b 5\necho never", 5, "one\n"),
        ("@echo off\nset X=1\nif %X%==1 (\n  echo a\n  echo b\n) else (\n  echo c\n)\necho d", 0, "a\nb\nd\n"),
        ("@echo off\nif 1==2 (\n  echo a\n) else (\n  echo c\n)", 0, "c\n"),
        ("@echo off\nfor %%i in (x y) do (\n  echo %%i\n)\necho %%done", 0, "x\ny\n%done\n"),
        ("@echo off\necho %~n0 %1 %~2 %3.\necho %*", 0, 'job first two words .\nfirst "two words"\n'),
        ("@echo off\ngoto end\necho never\n:end\necho here", 0, "here\n"),
        ("@echo off\ngoto :eof\necho never", 0, ""),
        (
            "@echo off\ncall :part a\ncall :part b\nexit /b %ERRORLEVEL%\n:part\necho part %1\nexit /b 2",
            2,
            "part a\npart b\n",
        ),
        ("@echo off\nset X=1\nsetlocal\nset X=2\necho %X%\nendlocal\necho %X%", 0, "2\n1\n"),
        (
            "@echo off\nsetlocal enabledelayedexpansion\nset N=0\nfor /l %%i in (1,1,3) do (\n  set /a N+=%%i\n  echo !N!\n)",
            0,
            "1\n3\n6\n",
        ),
        ("@echo off\nset N=3\n:again\necho %N%\nset /a N-=1\nif %N% gtr 0 goto again", 0, "3\n2\n1\n"),
        ("@echo off\ntype none 2>nul\nif %ERRORLEVEL% neq 0 exit /b 9\necho never", 9, ""),
        ("@echo off\nrem a comment\n:: another\necho %UNKNOWN%x", 0, "x\n"),
        ("@echo off\nset A=1\nset B=2\necho %A%%B% %1%A% 100%%%A% %%A%%", 0, "12 first1 100%1 %A%\n"),
        ("@echo off\necho long^\n line", 0, "long line\n"),
        ("@echo off\ncall missing.bat\nif errorlevel 1 echo no such", 0, "no such\n"),
        ("@echo off\nother.cmd\necho never", 0, "other\n"),
        ("@echo off\ncall other\necho back", 0, "other\nback\n"),
        ("echo loud", 0, "\nD:\\batch\\tasks>echo loud\nloud\n"),
        ("@echo off\ngoto nowhere", 1, ""),
        ("@echo off\nexit 6", 6, ""),
    ],
)
def test_batch_files(tmp_path: Path, text: str, code: int, stdout: str) -> None:
    (tmp_path / "other.cmd").write_text("@echo off\r\necho other\r\n")
    found = batch(tmp_path, text, 'call job.bat first "two words"')
    assert found[:2] == (code, stdout), found[2]


def test_a_batch_file_that_calls_itself_ends(tmp_path: Path) -> None:
    code, _, error = batch(tmp_path, "@call job.bat")
    assert code == 1
    assert "recursion" in error


@pytest.mark.parametrize("line", ["job.bat x", "job x", "JOB.BAT x", ".\\job.bat x", '"job.bat" x', "cmd /c job.bat x"])
def test_ways_to_run_a_batch_file(tmp_path: Path, line: str) -> None:
    assert batch(tmp_path, "@echo %1", line)[:2] == (0, "x\n")


def test_a_batch_file_can_be_the_program_of_a_task() -> None:
    argv = launch("run.cmd a b").argv
    assert argv is not None
    assert argv[-2:] == ["cmd", "/c call run.cmd a b"]


def test_what_is_not_known_says_whose_limit_it_is(tmp_path: Path) -> None:
    for line in ("robocopy a b", "for /r %i in (*) do echo %i"):
        code, _, error = run(tmp_path, line)
        assert code == 1
        assert "limit of the emulator" in error


@pytest.mark.parametrize(
    ("line", "code", "stdout"),
    [
        (f"if errorlevel {'9' * 5000} echo no", 1, ""),
        (f"if {'9' * 5000} gtr 1 (echo by text)", 0, "by text\n"),
        (f"for /l %i in (1,1,{'9' * 5000}) do echo %i", 0, ""),
        ('for /f "tokens=1-999999999" %a in ("x y") do echo %a %b', 0, "x y\n"),
        (f'for /f "tokens=²,{"9" * 5000}" %a in ("x y") do echo %a', 0, ""),
        (f"echo %V:~{'9' * 5000}%", 0, f"%V:~{'9' * 5000}%\n"),
        ("ping -n x localhost", 1, ""),
        (f"timeout {'9' * 30}", 1, ""),
        ("timeout ²", 1, ""),
        (f"echo {'x' * 9000}", 1, ""),
    ],
)
def test_numbers_and_lines_beyond_all_bounds(tmp_path: Path, line: str, code: int, stdout: str) -> None:
    assert run(tmp_path, line, V="x")[:2] == (code, stdout)


def test_a_variable_that_is_put_into_itself_does_not_fill_the_memory(tmp_path: Path) -> None:
    text = "@echo off\nset X=1234567890\nfor /l %%i in (1,1,2) do rem\n" + "set X=%X%%X%\n" * 60 + "echo done\n"
    code, out, error = batch(tmp_path, text)
    assert (code, out, "The input line is too long." in error) == (0, "done\n", True)


def test_a_line_that_is_nested_too_deep_is_no_traceback(tmp_path: Path) -> None:
    argv = launch("cmd /c " + "(" * 3000 + "echo x" + ")" * 3000).argv
    assert argv is not None
    done = subprocess.run(argv, env={"AZBE_ROOT": str(tmp_path)}, cwd=tmp_path, capture_output=True, check=False)
    assert (done.returncode, done.stderr.startswith(b"azure-batch-emulator: this is a limit")) == (1, True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('a "b c" d', ["a", "b c", "d"]),
        ('"a \\"b\\" c"', ['a "b" c']),
        ('a\\\\"b c" "d\\\\"', ["a\\b c", "d\\"]),
        ('C:\\x\\y ""', ["C:\\x\\y", ""]),
        ('x"y z"w', ["xy zw"]),
        ('"a""b"', ['a"b']),
        ('"a"" b" c', ['a" b', "c"]),
        ('"say ""hi there"" now" x', ['say "hi there" now', "x"]),
        ('""""', ['"']),
        ('"" ""', ["", ""]),
        ('a""b c', ["ab", "c"]),
        ('"a\\\\""b c"', ['a\\"b c']),
        ('"a" "b"', ["a", "b"]),
        ("", []),
    ],
)
def test_arguments_of_programs(text: str, words: list[str]) -> None:
    # Microsoft, "Parsing C command-line arguments".
    assert syntax.arguments(text) == words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("-7/2", -3),
        ("-7%2", -1),
        ("0x10+010", 24),
        ("1<<4|1", 17),
        ("6&3^1", 3),
        ("~0", -1),
        ("!5", 0),
        ("2147483647+1", -2147483648),
        ("X+1", 42),
        ("NONE", 0),
        ("A=B=3", 3),
    ],
)
def test_arithmetic(text: str, value: int) -> None:
    assert arithmetic.evaluate(text, {"X": "41"})[0] == value


@pytest.mark.parametrize("text", ["1+", "(1", "1 2", "1/0", "$", ""])
def test_no_arithmetic(text: str) -> None:
    with pytest.raises(arithmetic.ArithmeticProblemError):
        arithmetic.evaluate(text, {})


def test_copy_knows_the_device_that_is_empty(tmp_path: Path) -> None:
    copied = "        1 file(s) copied.\n"
    line = "copy NUL empty.txt & type empty.txt & copy empty.txt nul & dir /b"
    assert run(tmp_path, line) == (0, f"{copied}{copied}empty.txt\n", "")


@pytest.mark.parametrize(
    ("rest", "code", "stdout"),
    [
        ("/c echo hi", 0, "hi\n"),
        ("/Cecho hi", 0, "hi\n"),
        ("/d/q /c echo hi", 0, "hi\n"),
        ("/e:on /c echo hi", 0, "hi\n"),
        ('/s /c "echo "hi there""', 0, '"hi there"\n'),
        ('/v:on /c "set X=5&echo !X!"', 0, "5\n"),
        ('/V:ON /c "set X=5& if !X!==5 (echo five> !X!.txt) & type !X!.txt"', 0, "five\n"),
        ('/v:on /c "set X=a b& for %i in (!X!) do @echo %i"', 0, "a\nb\n"),
        ('/v:off /c "set X=5&echo !X!"', 0, "!X!\n"),
        ('/c "cmd /v:on /c "set X=5&echo !X!""', 0, "5\n"),
        ("/k echo hi", 0, "hi\n\nD:\\batch\\tasks>"),
        ("/k exit 3", 3, ""),
        ('/c "echo a" & echo b', 0, "a \nb\n"),
        ('/c "set X=abcdef&& call echo %X%"', 0, "abcdef\n"),
        ('/c "set X=abcdef&& call echo %X:~0,4% %X:CD=-% %X:*C=%"', 0, "abcd ab-ef def\n"),
        ('/c "call echo %NONE%"', 0, "%NONE%\n"),
    ],
)
def test_switches_of_cmd_and_what_call_puts_in(tmp_path: Path, rest: str, code: int, stdout: str) -> None:
    session = Session(str(tmp_path), {})
    session.drive = Drive(str(tmp_path), tmp_path)
    session.streams = [BytesIO(), out := BytesIO(), err := BytesIO()]
    assert (Shell(session).start(rest), err.getvalue()) == (code, b"")
    assert out.getvalue().decode().replace("\r\n", "\n") == stdout


@pytest.mark.parametrize(
    ("text", "stdout"),
    [
        ("@set X=5\n@call echo %%X%% %%NONE%%.", "5 .\n"),
        ("@call :sub %%CD%%\n@goto :eof\n:sub\n@if not %1.==. echo got", "got\n"),
        ("@set X=a-b\n@echo %X:-=+%", "a+b\n"),
    ],
)
def test_batch_files_expand_again(tmp_path: Path, text: str, stdout: str) -> None:
    assert batch(tmp_path, text) == (0, stdout, "")


def tree(folder: Path) -> None:
    (folder / "d" / "e").mkdir(parents=True)
    for name in ("a.txt", "d/b.txt", "d/e/a.txt", "d/e/c.log"):
        (folder / name).write_text("b\nabc\nB\n")


ROOT = "D:\\batch\\tasks"


@pytest.mark.parametrize(
    ("line", "code", "stdout"),
    [
        (
            "dir /s /b",
            0,
            [f"{ROOT}\\{name}" for name in ("a.txt", "d", "d\\b.txt", "d\\e", "d\\e\\a.txt", "d\\e\\c.log")],
        ),
        ("dir /s/b a.txt", 0, [f"{ROOT}\\a.txt", f"{ROOT}\\d\\e\\a.txt"]),
        ("dir /b /s d\\*.log", 0, [f"{ROOT}\\d\\e\\c.log"]),
        ("dir /s /b /ad", 0, [f"{ROOT}\\d", f"{ROOT}\\d\\e"]),
        ("dir /b /a-d", 0, ["a.txt"]),
        ("dir /s /b none", 1, []),
        (
            "del /s /q a.txt & dir /s /b a.txt",
            1,
            [f"Deleted file - {ROOT}\\a.txt", f"Deleted file - {ROOT}\\d\\e\\a.txt"],
        ),
        ('find /c "b" a.txt', 0, ["", "---------- A.TXT: 2"]),
        ('find /i "b" a.txt', 0, ["", "---------- A.TXT", "b", "abc", "B"]),
        ('type a.txt | find /c /v "c"', 0, ["2"]),
        ('type a.txt | find /n "c"', 0, ["[2]abc"]),
        ("findstr /i /n b a.txt", 0, ["1:b", "2:abc", "3:B"]),
        ('findstr /c:"ab c" a.txt', 1, []),
        ("findstr abc a.txt d\\b.txt", 0, ["a.txt:abc", "d\\b.txt:abc"]),
        ("sort a.txt /o s.txt & sort /r s.txt", 0, ["b", "B", "abc"]),
        ("type nul > f & type nul & for %i in (f) do @echo %~ni", 0, ["f"]),
        ('copy /b a.txt+d\\b.txt c.txt > nul & find /c "abc" c.txt', 0, ["", "---------- C.TXT: 2"]),
    ],
)
def test_switches_of_commands(tmp_path: Path, line: str, code: int, stdout: list[str]) -> None:
    tree(tmp_path)
    found = run(tmp_path, line)
    assert (found[0], found[1].split("\n")[:-1]) == (code, stdout)


@pytest.mark.parametrize(
    "line",
    ["dir /zz", "dir /s", "del /p a", "copy /zz a b", "move /x a b", "type /t a", "mkdir /p a", "rmdir /f a", "cd /x",
     "find /off b a.txt", "findstr /s a a.txt", "findstr /off a a.txt", "xcopy /d a d", "sort /+3 a.txt", "more /e a.txt",
     "timeout /x 1",
     "ping -t localhost", "set /x", "exit /x", "setlocal disableextensions", "cmd /u /c dir", "cmd /e:off /c dir", "start /b x",
     "start /affinity 1 cmd /c dir"],
)  # fmt: skip
def test_no_switch_is_passed_over(tmp_path: Path, line: str) -> None:
    tree(tmp_path)
    code, stdout, stderr = run(tmp_path, line)
    assert (code, stdout, "this is a limit of the emulator" in stderr) == (1, "", True)
    assert (tmp_path / "a.txt").exists()


# As documented for findstr: https://learn.microsoft.com/windows-server/administration/windows-commands/findstr
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("findstr a.c f", ["abc", "a.c", "a c", "xabcx"]),
        ("findstr /l a.c f", ["a.c"]),
        ("findstr /c:a.c f", ["a.c"]),
        ('findstr /r /c:"a c" f', ["a c"]),
        ("findstr a\\.c f", ["a.c"]),
        ('findstr /r "^a.*c$" f', ["abc", "a.c", "a c"]),
        ("findstr [0-9][0-9]* f", ["v10"]),
        ('findstr /v "[^a-zA-Z0-9]" f', ["abc", "xabcx", "v10", "Word"]),
        ('findstr /r "\\<abc" f', ["abc"]),
        ('findstr /r "ord\\>" f', ["Word"]),
        ("findstr /b /i W f", ["Word"]),
        ("findstr /e /n c f", ["1:abc", "2:a.c", "3:a c", "7:*bc"]),
        ("findstr /x abc f", ["abc"]),
        ('findstr "v1 Wo" f', ["v10", "Word"]),
        ("findstr /m W f", ["f"]),
        ("findstr /r *bc f", ["*bc"]),
        ("findstr /r (a f", ["(a"]),
    ],
)
def test_expressions_of_findstr(tmp_path: Path, line: str, found: list[str]) -> None:
    (tmp_path / "f").write_text("abc\na.c\na c\nxabcx\nv10\nWord\n*bc\n(a\n")
    code, stdout, stderr = run(tmp_path, line)
    assert (code, stdout.splitlines(), stderr) == (0, found, "")


def test_findstr_that_finds_nothing_or_understands_nothing(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("abc\n")
    assert run(tmp_path, "findstr x.z f")[0] == 1
    assert run(tmp_path, "findstr [z-a] f") == (2, "", "FINDSTR: Invalid expression\r\n")


@pytest.mark.parametrize(
    ("line", "code", "stdout", "made"),
    [
        ("xcopy d copy /i", 0, ["d\\b.txt", "1 File(s) copied"], {"copy/b.txt"}),
        ("xcopy d copy /s /i /q", 0, ["3 File(s) copied"], {"copy/b.txt", "copy/e/a.txt", "copy/e/c.log"}),
        ("xcopy d\\e\\*.log copy\\", 0, ["d\\e\\c.log", "1 File(s) copied"], {"copy/c.log"}),
        ("xcopy a.txt d\\e\\ /y", 0, ["a.txt", "1 File(s) copied"], set()),
        ("xcopy d copy /e /i /q & xcopy empty copy\\empty /e /i", 0, ["3 File(s) copied", "0 File(s) copied"],
         {"copy/b.txt", "copy/e/a.txt", "copy/e/c.log", "copy/empty"}),
        ("echo f| xcopy a.txt new.txt", 0,
         ["Does new.txt specify a file name", "or directory name on the target", "(F = file, D = directory)?", "a.txt",
          "1 File(s) copied"], {"new.txt"}),
        ("xcopy none copy /i", 1, [], set()),
        ("xcopy", 4, [], set()),
    ],
)  # fmt: skip
def test_xcopy(tmp_path: Path, line: str, code: int, stdout: list[str], made: set[str]) -> None:
    tree(tmp_path)
    (tmp_path / "empty").mkdir()
    before = {str(place.relative_to(tmp_path)) for place in tmp_path.rglob("*")}
    found = run(tmp_path, line)
    after = {place for place in tmp_path.rglob("*") if str(place.relative_to(tmp_path)) not in before}
    leaves = {str(place.relative_to(tmp_path)) for place in after if place.is_file() or not any(place.iterdir())}
    assert (found[0], found[1].splitlines(), leaves) == (code, stdout, made), found[2]


def test_xcopy_asks_what_a_target_is_and_ends_without_a_response(tmp_path: Path) -> None:
    tree(tmp_path)
    assert run(tmp_path, "xcopy a.txt new")[0] == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("line", "code", "stdout"),
    [
        ("start /wait cmd /c exit 3", 3, ""),
        ('start "a title" /wait /b cmd /c "echo in & exit 5"', 5, "in \n"),
        ('start /b /wait "" echo plain', 0, "plain\n"),
        ("start /wait echo in a window of its own", 0, ""),
        ("start /d d /b /wait cmd /c dir /b", 0, "b.txt\ne\n"),
        ('start /wait /min "" job.bat a b & type made.txt', 0, "a-b \n"),
        ('start /b echo later | find "later"', 0, "later\n"),
        ("start", 0, ""),
        ("start /d none cmd /c dir", 1, ""),
    ],
)
def test_start(tmp_path: Path, line: str, code: int, stdout: str) -> None:
    tree(tmp_path)
    (tmp_path / "job.bat").write_text("@echo %1-%2 > made.txt\n")
    found = run(tmp_path, line)
    assert found[:2] == (code, stdout), found[2]


def test_start_does_not_wait(tmp_path: Path) -> None:
    shell = [*(launch("cmd").argv or [])[:-1]]
    gate = tmp_path / "gate.bat"
    gate.write_text("@echo off\n:again\nif not exist go goto again\necho went> went.txt\n")
    environment = {"AZBE_ROOT": str(tmp_path), "AZBE_PATH": ""}
    line = "/c start /b gate.bat & echo at once"
    done = subprocess.run([*shell, line], cwd=tmp_path, env=environment, capture_output=False, check=True)
    assert done.returncode == 0
    assert not (tmp_path / "went.txt").exists()
    (tmp_path / "go").touch()
    wait_until((tmp_path / "went.txt").exists, "what start has begun")


def test_variables_that_cmd_makes_up(tmp_path: Path) -> None:
    drawn = run(tmp_path, "echo " + " ".join(["%RANDOM%"] * 16))[1].split()
    assert len(set(drawn)) > 8
    assert all(0 <= int(number) < 32768 for number in drawn)
    date, clock = run(tmp_path, "echo %DATE%")[1].strip(), run(tmp_path, "echo %TIME%")[1].strip()
    assert re.fullmatch(r"[A-Z][a-z]{2} [0-9]{2}/[0-9]{2}/[0-9]{4}", date)
    assert re.fullmatch(r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}\.[0-9]{2}", clock)
    assert run(tmp_path, "echo %RANDOM% %DATE%", RANDOM="4", DATE="today")[1] == "4 today\n"


@pytest.mark.parametrize(
    ("rest", "shown"),
    [('/c "my job.bat"', "ran\n"), ('/c "my job.bat" x', "ran\n"), ('/c "echo my job.bat"', "my job.bat\n")],
)
def test_a_batch_file_with_a_blank_in_its_name(tmp_path: Path, rest: str, shown: str) -> None:
    (tmp_path / "my job.bat").write_text("@echo ran\n")
    session = Session(str(tmp_path), {})
    session.drive = Drive(str(tmp_path), tmp_path)
    session.streams = [BytesIO(), out := BytesIO(), BytesIO()]
    assert Shell(session).start(rest) == 0
    assert out.getvalue().decode().replace("\r\n", "\n") == shown


@pytest.mark.parametrize(
    ("line", "stdout"),
    [
        ('for /f "tokens=1,2" %Z in ("a b") do echo %Z', "a\n"),
        ('for /f "tokens=1-3" %z in ("a b c") do echo x%zx', "xax\n"),
        ('for /f "tokens=1,2" %Z in ("a b") do echo %[', "b\n"),
    ],
)
def test_variables_of_a_loop_beyond_the_last_letter(tmp_path: Path, line: str, stdout: str) -> None:
    assert run(tmp_path, line) == (0, stdout, "")


@pytest.mark.parametrize("verb", ["goto", "goto :", "goto nowhere", "if 1==1 (goto nowhere)"])
def test_a_batch_file_ends_where_it_would_go_to_a_label_that_it_does_not_have(tmp_path: Path, verb: str) -> None:
    code, stdout, stderr = batch(tmp_path, f"@echo off\n{verb}\necho goes on\n")
    assert (code, stdout) == (1, "")
    assert "cannot find the batch label" in stderr


def test_a_call_of_a_label_that_does_not_exist_continues(tmp_path: Path) -> None:
    code, stdout, stderr = batch(tmp_path, "@echo off\ncall :\ncall :nowhere\necho goes on\n")
    assert (code, stdout) == (0, "goes on\n")
    assert stderr.count("cannot find the batch label") == 2


@pytest.mark.parametrize(
    ("code", "shown", "ends"),
    [
        ("0", 0, 0),
        ("3", 3, 3),
        ("256", 256, 255),
        ("-1", -1, 255),
        ("-256", -256, 255),
        ("3221225786", -1073741510, 255),
    ],
)
def test_no_failure_of_windows_becomes_a_success(tmp_path: Path, code: str, shown: int, ends: int) -> None:
    found, stdout, _ = run(tmp_path, f"cmd /c exit {code} && echo good")
    assert (found, stdout) == (shown, "" if shown else "good\n")
    assert eight_bits(found) == ends


def test_a_line_of_a_megabyte_is_refused_at_once(tmp_path: Path) -> None:
    code, _, stderr = run(tmp_path, f'"{"a " * 500_000}&"')
    assert (code, stderr) == (1, "The input line is too long.\r\n")
