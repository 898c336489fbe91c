"""What a validator raises."""

from __future__ import annotations


class Wrong(ValueError):
    """Raised by a validator: `wrong` says what is wrong with the value, `right` what would be right.

    A validator of a whole table names the key with `key`. `value` replaces the value that is shown.
    """

    def __init__(self, wrong: str, right: str = "", *, key: str = "", value: object = ...) -> None:
        self.wrong, self.right, self.key, self.value = wrong, right, key, value
        super().__init__(f"{wrong}; {right}" if right else wrong)
