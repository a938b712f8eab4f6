"""Every deliberate error of ropewalk. A user meets one of these, never a bare traceback.

    RopewalkError                  exit code 2 on the command line
    |-- UnknownNameError           a method, sampler, key or recipe that does not exist (with a suggestion)
    |-- OptionError                a number or option that cannot be: factor 0, a target below the trained window
    |-- PluginError                another package's method, sampler or task cannot be imported
    |-- ModelError                 a path without a model, a family that ropewalk cannot extend
    |   |-- NoRopeError            the config has no rotary embedding
    |   `-- AlreadyScaledError     the checkpoint's rotary embedding is scaled already
    |-- CarrierError               a config format cannot express the method exactly
    |-- SelfTestError              after applying a method the model does not compute what the method says
    |-- DataError                  a text that is empty, not UTF-8, or shorter than one window
    |-- RunFileError               a run file that does not parse or validate
    |-- OutputError                the output folder exists, or cannot be written
    |-- MeasurementError           a measurement that would not be exact, or has too few samples
    |-- DivergenceError            a loss or gradient of a training step is no finite number
    |-- MemoryShortageError        a training step that does not fit the memory of its device
    `-- InterruptedRunError        training was stopped; the message says how to go on

Wording: what must hold, because; what arrived; what to do next.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class RopewalkError(Exception):
    """Anything that ropewalk refuses on purpose."""


class UnknownNameError(RopewalkError):
    """A name that nothing answers to."""


class OptionError(RopewalkError):
    """An option whose value cannot be used."""


class PluginError(RopewalkError):
    """A method, sampler or task of another package that cannot be imported."""


class ModelError(RopewalkError):
    """A model that cannot be read or extended."""


class NoRopeError(ModelError):
    """A model whose positions are not rotary."""


class AlreadyScaledError(ModelError):
    """A model whose rotary embedding is scaled already."""


class CarrierError(RopewalkError):
    """A config format that cannot express a method exactly."""


class SelfTestError(RopewalkError):
    """A model that, after an extension, does not compute what the method says."""


class DataError(RopewalkError):
    """A text that cannot be trained on or measured with."""


class RunFileError(RopewalkError):
    """A run file that cannot be used."""


class OutputError(RopewalkError):
    """An output place that cannot be used."""


class MeasurementError(RopewalkError):
    """A measurement that cannot be made exactly."""


class DivergenceError(RopewalkError):
    """A training step whose loss or gradient is no finite number; the step was not made."""


class MemoryShortageError(RopewalkError):
    """A training step that does not fit; the message says what takes how much, and what would free how much."""


class InterruptedRunError(RopewalkError):
    """A run that was stopped before its end and can be resumed."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that does not exist, with the nearest known name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    suggestion = f"; did you mean '{near[0]}'?" if near else "."
    known_names = f"Known: {', '.join(names)}." if names else "There is none at all."
    return UnknownNameError(f"no {kind} is called '{name}'{suggestion} {known_names}")
