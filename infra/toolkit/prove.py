"""Prove the smoke test on an app: break the app in known ways, and see whether smoke says so."""

from __future__ import annotations

import io
import secrets
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import docker
from docker.errors import DockerException

from toolkit import engine as engines
from toolkit import smoke
from toolkit.accepted import Acceptance
from toolkit.engine import OWNER_LABEL, RUN_LABEL
from toolkit.errors import ConfigurationError
from toolkit.image.model import AppImage
from toolkit.image.step import BUILD_OWNER
from toolkit.mutations.all import MUTATIONS
from toolkit.mutations.model import Mutation
from toolkit.mutations.server import SERVER, UNCHANGED
from toolkit.options import SmokeOptions
from toolkit.report import Check, SmokeReport
from toolkit.source import SourceFile, StagedSource

Outcome = Literal["caught", "other cause", "survived", "does not apply"]
OUTCOMES: tuple[Outcome, ...] = ("caught", "other cause", "survived", "does not apply")
OnEvent = Callable[[dict[str, Any]], None]
REPOSITORY = "bun-to-datarobot/prove"
MOST_TEXT = 4 * 10**6
_SUFFIXES = (".sh", ".ts", ".tsx", ".js", ".mjs", ".html", ".css", ".json", ".toml", ".webmanifest")


@dataclass(frozen=True)
class Proof:
    """What became of one mutation; `by` is the first new answer of smoke."""

    mutation: str
    outcome: Outcome
    by: Check | None = None


@dataclass(frozen=True)
class ProofReport:
    """All proofs on one app."""

    proofs: tuple[Proof, ...]

    def count(self, outcome: Outcome) -> int:
        """Give how many mutations came out that way."""
        return sum(proof.outcome == outcome for proof in self.proofs)

    @property
    def rate(self) -> float:
        """The share (0 to 1) of the mutations that apply of which smoke said something; 1 when none applies."""
        applied = len(self.proofs) - self.count("does not apply")
        return 1 - self.count("survived") / applied if applied else 1.0


def prove(
    engine: docker.DockerClient,
    image: AppImage,
    staged: StagedSource,
    options: SmokeOptions,
    *,
    host: str = "127.0.0.1",
    accept: Sequence[Acceptance] = (),
    mutations: tuple[Mutation, ...] = MUTATIONS,
    on_event: OnEvent = lambda _event: None,
) -> ProofReport:
    """Smoke the app whole, then broken in each of the ways of `mutations`; emits one "proof" event for each.

    No browser looks: what it alone would find is no matter here. Raises ConfigurationError when the app fails whole, in
    what nobody has accepted (`accept`).
    """
    options = replace(options, browser=None, keep=None)
    whole = smoke.run(engine, image, staged, options, host=host, accept=accept)
    if whole.verdict == "fail":
        first = next(check for check in whole.checks if check.status == "fail" and check.counts)
        raise ConfigurationError(
            f"The app fails as it is: {first.title}", hint="Repair that first: invoke smoke. Then prove."
        )
    files = read_texts(engine, image)
    proofs = []
    wrapped = _is_sound_when_wrapped(engine, image, staged, options, host, whole, files)
    for mutation in mutations:
        change = mutation.change(files)
        if change is None or (mutation in SERVER and not wrapped):
            proof = Proof(mutation.name, "does not apply")
        else:
            patience = min(options.patience, mutation.patience)
            with _mutant(engine, image, change) as mutant, _seen(staged, change, mutation) as sources:
                report = smoke.run(engine, mutant, sources, replace(options, patience=patience), host=host)
            proof = judge(mutation, whole, report)
        proofs.append(proof)
        title = f"{proof.by.id}: {proof.by.title}" if proof.by else ""
        on_event({"event": "proof", "id": mutation.name, "status": proof.outcome, "title": title})
    return ProofReport(tuple(proofs))


def _is_sound_when_wrapped(
    engine: docker.DockerClient,
    image: AppImage,
    staged: StagedSource,
    options: SmokeOptions,
    host: str,
    whole: SmokeReport,
    files: Mapping[str, str],
) -> bool:
    """Say whether the app is as it was with a server that is wrapped but not changed."""
    change = UNCHANGED(files)
    if change is None:
        return False
    with _mutant(engine, image, change) as mutant:
        report = smoke.run(engine, mutant, staged, options, host=host)
    return judge(Mutation("", UNCHANGED, frozenset()), whole, report).outcome == "survived"


def judge(mutation: Mutation, whole: SmokeReport, broken: SmokeReport) -> Proof:
    """Say what smoke made of a mutation: only failures and warnings that the whole app does not give count."""
    known = {(check.id, check.status, check.title) for check in whole.checks}
    new = [
        check
        for status in ("fail", "warn")
        for check in broken.checks
        if check.status == status and (check.id, check.status, check.title) not in known
    ]
    if not new:
        return Proof(mutation.name, "survived")
    right = next((check for check in new if check.id in mutation.caught_by), None)
    return Proof(mutation.name, "caught" if right else "other cause", right or new[0])


def read_texts(engine: docker.DockerClient, image: AppImage) -> dict[str, str]:
    """Give the text files of the built app (without installed packages), by their path below the working directory."""
    texts: dict[str, str] = {}
    with _container(engine, image) as container:
        stream, _ = container.get_archive(image.environment.workdir)
        with tempfile.TemporaryFile() as archive:
            for chunk in stream:
                archive.write(chunk)
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                for member in tar:
                    path = member.name.partition("/")[2]
                    wanted = path.endswith(_SUFFIXES) and "node_modules/" not in f"/{path}"
                    if member.isfile() and wanted and member.size <= MOST_TEXT:
                        content = tar.extractfile(member)
                        with suppress(UnicodeDecodeError):
                            texts[path] = content.read().decode() if content else ""
    return texts


@contextmanager
def _container(engine: docker.DockerClient, image: AppImage) -> Iterator[Any]:
    """A container of the image that is never started."""
    labels = {OWNER_LABEL: BUILD_OWNER, RUN_LABEL: engines.new_run()}
    container = engine.containers.create(image.tag, labels=labels)
    try:
        yield container
    finally:
        container.remove(force=True)


@contextmanager
def _mutant(engine: docker.DockerClient, image: AppImage, change: Mapping[str, str | None]) -> Iterator[AppImage]:
    """The image with files changed or removed, for as long as it is looked at."""
    name = secrets.token_hex(6)
    removed = [path for path, text in change.items() if text is None]
    with _container(engine, image) as container:
        container.put_archive(image.environment.workdir, _archive(change))
        dockerfile_changes = ['ENTRYPOINT ["./start-app.sh"]', "CMD []"]
        container.commit(repository=REPOSITORY, tag=name, changes=dockerfile_changes)
    tag = f"{REPOSITORY}:{name}"
    try:
        if removed:
            _without(engine, tag, name, image.environment.workdir, removed)
        yield replace(image, tag=tag)
    finally:
        with suppress(DockerException):
            engine.images.remove(tag, force=True)


def _without(engine: docker.DockerClient, tag: str, name: str, workdir: str, paths: list[str]) -> None:
    labels = {OWNER_LABEL: BUILD_OWNER, RUN_LABEL: engines.new_run()}
    argv = [f"{workdir.rstrip('/')}/{path}" for path in paths]
    container = engine.containers.create(tag, entrypoint=["rm", "-f"], command=argv, labels=labels, network_mode="none")
    try:
        container.start()
        container.wait()
        changes = ['ENTRYPOINT ["./start-app.sh"]', "CMD []"]
        container.commit(repository=REPOSITORY, tag=name, changes=changes)
    finally:
        container.remove(force=True)


def _archive(change: Mapping[str, str | None]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, text in change.items():
            if text is not None:
                entry = tarfile.TarInfo(path)
                entry.size = len(content := text.encode())
                entry.mode = 0o755 if path.endswith(".sh") else 0o644
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def _seen(staged: StagedSource, change: Mapping[str, str | None], mutation: Mutation) -> Iterator[StagedSource]:
    """What ships, with the changes in it, for mutations of files that ship as they are."""
    if not mutation.seen_in_source:
        yield staged
        return
    with tempfile.TemporaryDirectory(prefix="prove-") as folder:
        files = []
        for file in staged.files:
            text = change.get(file.path, "") if file.path in change else ""
            if file.path not in change:
                files.append(file)
            elif text is not None:
                local = Path(folder) / file.path
                local.parent.mkdir(parents=True, exist_ok=True)
                local.write_text(text, encoding="utf-8", newline="")
                files.append(SourceFile(file.path, file.mode, local))
        yield replace(staged, files=tuple(files))
