"""Places values into sh text so that none can become a command.

A value of harmless characters stands there as it is. Any other is assigned to a variable, quoted, at the
beginning of the script, and the variable stands in its place: what comes out of a variable is never read as
sh again. So it does not matter for safety whether the quotes around it were understood, only for the value to
arrive whole.
"""

from __future__ import annotations

import re
from enum import Enum

from .quote import quote

HARMLESS = re.compile(r"[A-Za-z0-9_./:,@%+-]+")
HEREDOC = re.compile(r"<<(-?)[ \t]*(?:'([^'\n]*)'|\"([^\"\n]*)\"|((?:\\.|[^\s;&|<>()'\"`\\])+))")


class Misplaced(Exception):
    """A value stands where no characters but letters, digits and _./:,@%+- can. `number`: which value."""

    def __init__(self, words: str, number: int = -1) -> None:
        super().__init__(words)
        self.number = number


class At(Enum):
    """Where in a script."""

    CODE = "code"
    PAREN = "inside ( )"
    BACKTICK = "inside ` `"
    DOUBLE = "inside double quotes"
    BRACE = "inside ${ }"
    ARITHMETIC = "inside $(( ))"


class Values:
    """The values of one rendering. `nonce`: letters and digits that the templates can't hold by chance."""

    def __init__(self, nonce: str) -> None:
        self._values: list[str] = []
        self.origins: list[object] = []
        self._nonce = nonce
        self._mark = re.compile(f"\x02{nonce}:([0-9]+)\x03")

    def mark(self, value: str, origin: object = None) -> str:
        """The text that stands for the value until `placed`. `origin` is kept in `origins`."""
        value = self._mark.sub(lambda m: self._values[int(m[1])], value)  # text that a template had put together
        if HARMLESS.fullmatch(value):
            return value
        self._values.append(value)
        self.origins.append(origin)
        return f"\x02{self._nonce}:{len(self._values) - 1}\x03"

    def placed(self, text: str) -> str:
        """The text with all values in their places. Raises Misplaced, NulInWord."""
        if not self._values:
            return text
        body = _Scan(text, self._mark).scan()
        if "\x02" in body or "\x03" in body:
            raise Misplaced("a filter was applied to text that holds values; apply it to the values themselves")
        used = sorted(
            {int(n) for n in re.findall(r"\$\{ondeck_value_([0-9]+)\}", body)} & set(range(len(self._values)))
        )
        prelude = "".join(f"ondeck_value_{n}={quote(self._values[n])}\n" for n in used)
        if body.startswith("#!"):
            first, _, rest = body.partition("\n")
            return f"{first}\n{prelude}{rest}"
        return prelude + body


class _Scan:
    """Reads sh text once, to know for each mark what is around it."""

    def __init__(self, text: str, mark: re.Pattern[str]) -> None:
        self.text, self.mark = text, mark
        self.i = 0
        self.out: list[str] = []
        self.stack = [At.CODE]
        self.heredocs: list[tuple[str, bool, bool]] = []  # delimiter, tabs are stripped, quoted

    def scan(self) -> str:
        """The text with variables in place of the marks."""
        while self.i < len(self.text):
            self._step()
        return "".join(self.out)

    def _take(self, n: int) -> None:
        self.out.append(self.text[self.i : self.i + n])
        self.i += n

    def _step(self) -> None:
        text, i, at = self.text, self.i, self.stack[-1]
        c = text[i]
        if c == "\x02" and (found := self.mark.match(text, i)):
            self._place(found)
        elif c == "\\":
            self._take(2)
        elif text.startswith("$((", i):
            self._enter(At.ARITHMETIC, 3)
        elif text.startswith("$(", i):
            self._enter(At.PAREN, 2)
        elif text.startswith("${", i):
            self._enter(At.BRACE, 2)
        elif c == "`":
            if At.BACKTICK in self.stack:
                while self.stack.pop() is not At.BACKTICK:
                    pass
                self._take(1)
            else:
                self._enter(At.BACKTICK, 1)
        elif c == '"':
            if at is At.DOUBLE:
                self.stack.pop()
                self._take(1)
            else:
                self._enter(At.DOUBLE, 1)
        elif at is At.BRACE and c == "}":
            self.stack.pop()
            self._take(1)
        elif at is At.ARITHMETIC and text.startswith("))", i):
            self.stack.pop()
            self._take(2)
        elif at in (At.CODE, At.PAREN, At.BACKTICK):
            self._code(c)
        else:
            self._take(1)

    def _enter(self, at: At, n: int) -> None:
        self.stack.append(at)
        self._take(n)

    def _code(self, c: str) -> None:
        text, i = self.text, self.i
        if c == "'":
            end = text.find("'", i + 1)
            end = len(text) if end < 0 else end + 1
            self._literal(end, "inside single quotes")
        elif c == "#" and (i == 0 or text[i - 1] in " \t\n;&|()"):
            end = text.find("\n", i)
            end = len(text) if end < 0 else end
            self.out.append(self.mark.sub(_variable, text[i:end]))
            self.i = end
        elif c == "(":
            self._enter(At.PAREN, 1)
        elif c == ")" and self.stack[-1] is At.PAREN:
            self.stack.pop()
            self._take(1)
        elif text.startswith("<<<", i):
            self._take(3)
        elif c == "<" and (found := HEREDOC.match(text, i)):
            plain, single, double, bare = found[1], found[2], found[3], found[4]
            word = next(w for w in (single, double, bare) if w is not None)
            quoted = bare is None or "\\" in bare
            self.heredocs.append((word.replace("\\", ""), plain == "-", quoted))
            self._take(found.end() - i)
        elif c == "\n" and self.heredocs:
            self._take(1)
            for heredoc in self.heredocs:
                self._heredoc(*heredoc)
            self.heredocs.clear()
        else:
            self._take(1)

    def _heredoc(self, word: str, tabs: bool, quoted: bool) -> None:
        """The lines up to the delimiter."""
        begin = self.i
        while self.i < len(self.text):
            end = self.text.find("\n", self.i)
            end = len(self.text) if end < 0 else end + 1
            line = self.text[self.i : end].rstrip("\n")
            self.i = end
            if (line.lstrip("\t") if tabs else line) == word:
                break
        end, self.i = self.i, begin
        if quoted:
            self._literal(end, f"in a here document whose delimiter {word} is quoted")
        else:
            self.out.append(self.mark.sub(_variable, self.text[begin:end]))
            self.i = end

    def _literal(self, end: int, where: str) -> None:
        """Text in which variables are not seen."""
        piece = self.text[self.i : end]
        if found := self.mark.search(piece):
            line = self.mark.sub("{{ … }}", piece).strip().split("\n")[0][:80]
            raise Misplaced(f"a value with blanks or special characters stands {where}: {line}", int(found[1]))
        self.out.append(piece)
        self.i = end

    def _place(self, found: re.Match[str]) -> None:
        at = self.stack[-1]
        if at is At.ARITHMETIC:
            raise Misplaced("a value that is no number stands inside $(( ))", int(found[1]))
        bare = at in (At.CODE, At.PAREN, At.BACKTICK)
        self.out.append(f'"{_variable(found)}"' if bare else _variable(found))
        self.i = found.end()


def _variable(found: re.Match[str]) -> str:
    return f"${{ondeck_value_{found[1]}}}"
