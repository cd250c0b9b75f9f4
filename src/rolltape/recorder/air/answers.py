"""Taking a signed answer: the only way in which a relay can bring time, a go, a generation, a floor, or a proof."""

from rolltape.recorder.air.nonces import Nonces, Question
from rolltape.recorder.log import log
from rolltape.recorder.parts import Parts
from rolltape.wire.answer import Answer, read

_ENDED = frozenset({"executed", "failed"})


class Answers:
    """Believes what the server signed for a question of this device, of the last minute."""

    def __init__(self, parts: Parts, nonces: Nonces) -> None:
        self._parts = parts
        self._nonces = nonces

    async def take(self, cwt: bytes) -> tuple[Answer, Question]:
        """The answer and what it answers, after all was done that it brings about. ValueError for one to disbelieve."""
        answer = read(cwt, self._parts.keys.keys)
        question = self._nonces.find(answer.nonce)
        if question is None:
            raise ValueError("an answer to no question of this device, or of more than a minute ago")
        known = self._parts.identity.known
        if (answer.iss, answer.aud) != (known.iss, known.device_id):
            raise ValueError("an answer of another deployment, or to another device")
        if answer.gen < (known.generation or 0):
            raise ValueError("an answer of an earlier binding")
        self._nonces.spend(answer.nonce)
        self._parts.trusted.hear(answer.now, question.asked_at)
        await self._move_on_to(answer.gen)
        self._restore_replay_record(answer, question)
        self._believe_report(answer, question)
        self._believe_recording(answer)
        return answer, question

    async def _move_on_to(self, generation: int) -> None:
        """A new binding: what a command of the old one began ends, the audio and the story stay."""
        if generation != self._parts.identity.known.generation:
            log(f"the device was bound anew: generation {generation}")
            self._parts.identity.change(generation=generation)
            await self._parts.studio.stop_if(remote_only=True)

    def _restore_replay_record(self, answer: Answer, question: Question) -> None:
        floor = answer.seq_floor
        if self._parts.replay.lost and question.wants_floor and floor is not None and 0 <= floor < 2**63:
            self._parts.replay.restore(floor)
            log(f"the replay record begins again above {floor}")

    def _believe_report(self, answer: Answer, question: Question) -> None:
        """That the server has the command down as ended is what a report is told for."""
        entry = None if answer.jti is None else self._parts.journal.get(answer.jti)
        if entry is None or entry.report is None or entry.told or answer.jti != question.command_id:
            return
        if answer.status in _ENDED:
            self._parts.told(entry)

    def _believe_recording(self, answer: Answer) -> None:
        """The server vouches for the whole, by its hash: only now may the sound go."""
        tape = None if answer.recording_id is None else self._parts.tapes.get(answer.recording_id)
        if tape is None or tape.is_running or tape.sha256 is None or answer.sha256 is None:
            return
        if answer.sha256.hex() != tape.sha256 or not self._parts.is_told_of(tape):
            return
        self._parts.tapes.change(tape.id, uploaded=True)
        log(f"{tape.id}: the server has it, by way of a relay")
        if not self._parts.settings.keep_uploaded:
            self._parts.tapes.discard(tape.id)
        self._parts.bells.beat.ring()
