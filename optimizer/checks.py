"""Checks of given arrays; what fails is a ProblemError with array, index and rule."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_T = TypeVar("_T", np.float64, np.int64)


class ProblemError(ValueError):
    """The problem breaks a rule; the message names array, index and rule."""


def repeated_part(array: Floats) -> Floats:
    """Return the part of a view that its repetitions repeat."""
    return array[:, :1] if array.ndim == 2 and array.strides[1] == 0 else array


def numbers(name: str, value: ArrayLike) -> Floats:
    """Return numbers, not copied where they are float64; NaN and infinities too."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biufO":
            return array.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        pass
    raise ProblemError(f"{name} must be numbers, not {value!r:.60}")


def floats(name: str, value: ArrayLike) -> Floats:
    """Return finite numbers, not copied where they are float64."""
    array = numbers(name, value)
    if not np.isfinite(array).all():
        must(name, array, np.isfinite(array), "finite")
    return array


def whole(name: str, value: ArrayLike) -> Ints:
    """Return whole numbers, not copied where they are int64."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu" and array.size:
        raise ProblemError(f"{name} has dtype {array.dtype}; it must be whole numbers")
    return array.astype(np.int64, copy=False)


def fitted(name: str, array: NDArray[_T], shape: tuple[int, ...]) -> NDArray[_T]:
    """Return the array, or a view that repeats it, of a shape."""
    if array.shape == shape:
        return array
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ProblemError(
            f"{name} has shape {array.shape}; it must fit {shape}"
        ) from None


def must(
    name: str, value: NDArray[np.generic], holds: NDArray[np.bool_], rule: str
) -> None:
    """Raise ProblemError naming the first element that breaks a rule."""
    if not holds.all():
        index = tuple(int(i) for i in np.argwhere(~np.atleast_1d(holds))[0])
        found = np.broadcast_to(np.atleast_1d(value), np.atleast_1d(holds).shape)[index]
        raise ProblemError(f"{name}{list(index)} is {found}; it must be {rule}")
