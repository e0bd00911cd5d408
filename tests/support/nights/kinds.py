"""The kinds of nights."""

from __future__ import annotations

from typing import Final

from support.nights import changes, troubles
from support.nights.night import FAILED, INCOMPLETE, PRUNE, REFUSED, Named, Night, Run, again

_WRONG_CLOCK: Final = "the clock of this machine says .*, the server says .*--version"
_KEPT: Final = r"no longer accessible, kept: \d+ checkpoint"
_LATER_DATE: Final = "has a later date than today"
NO_SPACE: Final = r"error: [^:]*: .*(No space left on device|(disk is full|disk I/O error); .* free there: make space)"
_KILLED: Final = (-9, 0)  # or it came to its end first

KINDS: Final[dict[str, Night]] = {
    "idle": Night(empty=False, runs=(Run(), Run())),
    "idle on an empty machine": Night(empty=True, runs=(Run(),)),
    "added": Night(day=(changes.add,)),
    "changed": Night(day=(changes.change,)),
    "renamed": Night(day=(changes.rename,)),
    "removed": Night(day=(changes.remove,)),
    # So many that it is certain before anything is read: a new checkpoint may be a renamed one.
    "many removed": Night(
        day=(changes.remove,) * 6,
        runs=(
            Run(ends=REFUSED, says="at most 15 % may be lost", untouched="checkpoints"),
            Run(options=(*PRUNE, "--allow-loss")),
        ),
    ),
    "gated and kept": Night(day=(changes.gate,), runs=(Run(says=_KEPT, tells="kept, though no longer offered"),)),
    "gated and removed": Night(
        day=(changes.gate,), runs=(Run(options=(*PRUNE, "--restricted", "remove", "--allow-loss"), tells="gone"),)
    ),
    "gates opened": Night(day=(changes.open_gates,)),
    "license changed": Night(day=(changes.relicense,)),
    "zoo down": Night(runs=again(troubles.zoo_down, ends=INCOMPLETE, says=r"hub:other/\*")),
    "zoo half listed": Night(runs=again(troubles.half_listed, ends=INCOMPLETE, says=r"hub:org/\*")),
    "much happens in the zoos": Night(
        day=(changes.add, changes.change, changes.rename, changes.remove, changes.gate, changes.relicense)
    ),
    "file deleted on main": Night(day=(changes.delete_layers,), runs=(Run(says="lacks data/layers/.*; restored v"),)),
    "file changed on main": Night(day=(changes.overwrite_index,), runs=(Run(says="other content in .*; restored v"),)),
    "file added on main": Night(day=(changes.add_table,), runs=(Run(says=r"besides data/index/mine.*; restored v"),)),
    "much happens on main": Night(
        day=(changes.delete_layers, changes.overwrite_index, changes.add_table),
        runs=(Run(says=r"lacks data/layers/.* has besides data/index/mine.*; restored v"),),
    ),
    "clock ahead": Night(runs=again(troubles.clock_ahead, ends=REFUSED, says=_WRONG_CLOCK, untouched="zoos")),
    "clock behind": Night(runs=again(troubles.clock_behind, ends=REFUSED, says=_WRONG_CLOCK, untouched="zoos")),
    "stated date behind": Night(
        day=(changes.add,),
        runs=again(troubles.stated_date_behind, ends=REFUSED, says="has a later date than today", untouched="zoos"),
    ),
    "a version of a wrong day": Night(
        day=(changes.add,),
        runs=(
            Run(trouble=troubles.stated_date_ahead),
            Run(ends=REFUSED, untouched="zoos", says="`filtercrawl rollback .*delete the tag"),
            Named(then=changes.delete_wrong_tag),
            Run(),
        ),
    ),
    "token cannot read": Night(runs=again(troubles.token_cannot_read, ends=FAILED, says="HF_TOKEN", untouched="zoos")),
    "token cannot write": Night(
        runs=again(troubles.token_cannot_write, ends=FAILED, says="HF_TOKEN", untouched="zoos")
    ),
    "full disk": Night(
        day=(changes.add,),
        runs=again(troubles.full_disk, ends=(0, 1), says=NO_SPACE),
        mounts=True,
    ),
    "disk fills up": Night(
        day=(changes.add,),
        runs=again(troubles.disk_fills, ends=(0, 1), says=NO_SPACE),
        mounts=True,
    ),
    "two at once": Night(day=(changes.add,), runs=again(troubles.two_at_once, ends=(0, 5), says="run again")),
    "killed": Night(day=(changes.add,), runs=again(troubles.killed, ends=_KILLED)),
    "killed before the tag": Night(day=(changes.add,), runs=again(troubles.killed_between_commit_and_tag, ends=FAILED)),
}
