"""The table ``inet netkube-policy`` in the kernel: what it holds is made to be what the model says.

Blocking, and to be used in the thread that lives in the Node's namespace. Each change is one transaction: no packet
sees half of it. Without policies the table has no hooks, and packets do not pay for any.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

from netkube.api.meta import Key
from netkube.network import sysctl
from netkube.network.nft import Nft, NftError
from netkube.network.nftcontents import NftContents
from netkube.networkpolicy.changes import advance, encoded, everything, nothing, render_changes
from netkube.networkpolicy.model import Model, Touched
from netkube.networkpolicy.policies import Pod, Policy
from netkube.networkpolicy.ruleset import REVISION_CHAIN, TABLE, render_idle_table, render_new_table, render_revision

# A connection that conntrack has forgotten is not picked up in mid-stream: picked up from its other end, it would
# look like one that the server opened, and be judged as that.
TCP_LOOSE = 'net/netfilter/nf_conntrack_tcp_loose'
REVISIONS = 2**32

Failures = dict[Key, str]
"""The policies that the kernel refused, with its words. For these it has what it had before."""


class Changes(msgspec.Struct):
    """What has changed, as it is now; None is gone."""

    namespaces: dict[str, Mapping[str, str] | None] = msgspec.field(default_factory=dict)
    pods: dict[Key, Pod | None] = msgspec.field(default_factory=dict)
    policies: dict[Key, Policy | None] = msgspec.field(default_factory=dict)


class Table:
    """``resolvers``: the addresses of cluster DNS, which are the Node's own."""

    def __init__(self, resolvers: Iterable[str] = (), nft: Nft | None = None) -> None:
        self._resolvers = tuple(resolvers)
        self._model = Model(self._resolvers)
        self._applied = nothing()
        self._active = False  # there are policies, and the table has its hooks
        self._nft = nft or Nft()
        self._dump = NftContents(TABLE.split()[1])
        self._revision = int.from_bytes(os.urandom(4), 'big')  # connections may still carry an earlier life's
        self._generation = -1
        self._fixed: dict[str, int] = {}  # how many rules each fixed chain has
        self._handles: dict[str, tuple[int, ...]] = {}  # of the chains that have been seen as they should be

    def is_pure(self, changes: Changes) -> bool:
        """Without policies nothing of a change reaches the kernel: it need not be made in the thread."""
        return not self._active and not self._model.policies and not changes.policies

    def change(self, changes: Changes) -> Failures:
        """Each policy wholly or not at all. NftError if the kernel takes nothing: then ``reset``."""
        self._change_pods(changes)
        before = {key: self._model.policies.get(key) for key in changes.policies}
        for key, policy in changes.policies.items():
            self._model.set_policy(key, policy)
        try:
            self._commit()
            return {}
        except NftError as error:
            if len(before) == 1:
                self._model.set_policy(*before.popitem())
                self._commit()
                return dict.fromkeys(changes.policies, first_line(error))
        for key, policy in before.items():
            self._model.set_policy(key, policy)
        self._commit()
        return self._change_one_by_one(changes.policies)

    def reset(self, changes: Changes) -> Failures:
        """As ``change``, and whatever the kernel has in this table is replaced, at once."""
        self._change_pods(changes)
        for key, policy in changes.policies.items():
            self._model.set_policy(key, policy)
        try:
            self._replace()
            return {}
        except NftError:
            policies = dict(self._model.policies)
        for key in policies:
            self._model.set_policy(key, None)
        self._replace()
        return self._change_one_by_one(policies)

    def is_disturbed(self) -> bool:
        """Somebody else has changed this table."""
        generation = self._nft.generation()
        if generation == self._generation or not self._active:
            return False
        try:
            intact = self._is_intact()
        except FileNotFoundError:  # a set went while we looked
            intact = False
        if self._nft.generation() != generation:  # it changed while we looked: look again later
            return False
        if intact:
            self._generation = generation
        return not intact

    def _change_pods(self, changes: Changes) -> None:
        """Who goes, goes first: an address may pass from one Pod to another."""
        for name, labels in changes.namespaces.items():
            self._model.set_namespace(name, labels)
        for key, pod in changes.pods.items():
            if self._model.addresses(key) != (pod.addresses if pod else ()):
                self._model.set_pod(key, None)
        for key, pod in changes.pods.items():
            self._model.set_pod(key, pod)

    def _change_one_by_one(self, policies: Mapping[Key, Policy | None]) -> Failures:
        failures: Failures = {}
        for key, policy in policies.items():
            before = self._model.policies.get(key)
            self._model.set_policy(key, policy)
            try:
                self._commit()
            except NftError as error:
                failures[key] = first_line(error)
                self._model.set_policy(key, before)
        self._commit()
        return failures

    def _commit(self) -> None:
        """What differs, with a new revision; a transaction that is refused stays to be done."""
        if not self._active or not self._model.policies:
            if self._active or self._model.policies:
                self._replace()
            self._model.touched = Touched()
            return
        touched = self._model.touched
        text = render_changes(self._applied, self._model.contents, touched)
        if text:
            self._run(f'{text}\n{render_revision(self._next_revision())}')
            advance(self._applied, self._model.contents, touched)
            for name in touched.chains:
                self._handles.pop(name, None)
        self._model.touched = Touched()

    def _replace(self) -> None:
        """From nothing: for the first policy, after the last, and whenever the kernel has something else."""
        if self._model.policies:
            self._fill()
        else:
            self._run(render_idle_table())
        self._active = bool(self._model.policies)
        self._model.touched = Touched()
        sysctl.ensure_if_present(TCP_LOOSE, 0)  # it exists from the first rule on that needs conntrack

    def _fill(self) -> None:
        contents = self._model.contents
        changes = render_changes(nothing(), contents, everything(contents))
        parts = render_new_table(self._resolvers), changes, render_revision(self._next_revision())
        self._generation = -1
        self._run('\n'.join(parts))
        self._applied = contents.copy()
        fixed = {name: of for name, of in self._dump.rules().items() if name not in contents.chains}
        self._fixed = {name: len(handles) for name, handles in fixed.items()}
        self._handles = _lasting(fixed)

    def _next_revision(self) -> int:
        self._revision = self._revision % (REVISIONS - 1) + 1  # never 0: a connection without a mark is new
        return self._revision

    def _run(self, text: str) -> None:
        """Our own transaction counts one; more, and somebody else was there, too."""
        before = self._nft.generation()
        self._nft.run(text)
        after = self._nft.generation()
        if self._generation in (before, -1) and after - before == 1:
            self._generation = after

    def _is_intact(self) -> bool:
        """Every chain has the rules that it was last seen with, or as many as it was given; every set its keys."""
        rules = self._dump.rules()
        wanted = {name: len(of) for name, of in self._applied.chains.items() if of} | self._fixed
        if {name: len(handles) for name, handles in rules.items()} != wanted:
            return False
        if any(rules[name] != handles for name, handles in self._handles.items()):
            return False
        self._handles = _lasting(rules)
        keys = {name: {encoded(key) for key in elements} for name, elements in self._applied.elements.items()}
        return self._dump.sets() == keys


def _lasting(rules: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {name: handles for name, handles in rules.items() if name != REVISION_CHAIN}


def first_line(error: NftError) -> str:
    """What follows it repeats the command."""
    return str(error).splitlines()[0]
