package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/store"
)

// Do judges a member's commands in order, each by itself. The results are in
// the same order. An error means that some of them could not be judged, for a
// reason that is ours: those before it are judged and durable, and sending all
// of them again is right.
func (in *Inbox) Do(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID, cmds []chat.Command) ([]protocol.Result, error) {
	for i, c := range cmds {
		if c.ID.IsZero() {
			return nil, chat.Invalid("commands."+strconv.Itoa(i)+".id", "A command needs an id, a fresh UUIDv7.")
		}
	}
	results := make([]protocol.Result, 0, len(cmds))
	for _, c := range cmds {
		var earlier *protocol.Result
		for i := range results {
			if !c.After.IsZero() && results[i].ID == c.After {
				earlier = &results[i]
			}
		}
		r, err := in.judge(ctx, ws, member, c, earlier)
		if err != nil {
			return nil, fmt.Errorf("judge %s: %w", clip(c.Kind), err)
		}
		results = append(results, r)
	}
	return results, nil
}

// verdict is what came of one command.
type verdict struct {
	result  protocol.Result
	refusal error
	done    effect
	head    int64
}

// effect is what a handler did.
type effect struct {
	entity any                // becomes the result's data
	seq    int64              // the change that is the answer
	conv   *chat.Conversation // whom to tell
	forget func(*Inbox)       // what in memory is no longer true
}

func (in *Inbox) judge(ctx context.Context, ws chat.WorkspaceID, member chat.MemberID, c chat.Command, earlier *protocol.Result) (protocol.Result, error) {
	hash := hashOf(c)
	var v verdict
	err := in.store.Update(ctx, ws, func(tx *store.Tx) error {
		v = verdict{}
		stored, found, err := tx.Verdict(member, c.ID)
		if err != nil {
			return err
		}
		if found {
			v.result = repeat(stored, hash)
			return nil
		}
		before := tx.Head()
		v.done, err = in.apply(tx, member, c, earlier)
		v.head = tx.Head()
		switch {
		case err == nil:
			v.result, err = applied(tx, member, c, hash, v.done)
			return err
		case !isRefusal(err):
			return err
		}
		v.refusal = err
		if v.head != before {
			return errUndo
		}
		v.result, err = refused(tx, member, c, hash, v.refusal)
		return err
	})
	if errors.Is(err, errUndo) {
		refusal := v.refusal
		err = in.store.Update(ctx, ws, func(tx *store.Tx) error {
			v = verdict{refusal: refusal}
			v.result, err = refused(tx, member, c, hash, refusal)
			return err
		})
	}
	if err != nil {
		return protocol.Result{}, err
	}
	if v.result.Status == protocol.StatusApplied {
		if v.done.forget != nil {
			v.done.forget(in)
		}
		in.committed(ws, v.head, v.done.conv)
	}
	return v.result, nil
}

// apply checks what is true of every command and hands it to its kind.
func (in *Inbox) apply(tx *store.Tx, member chat.MemberID, c chat.Command, earlier *protocol.Result) (effect, error) {
	if err := checkAfter(tx, member, c, earlier); err != nil {
		return effect{}, err
	}
	h, ok := in.handlers[c.Kind]
	if !ok {
		return effect{}, chat.Invalid("kind", "The server does not know the command %q.", clip(c.Kind))
	}
	me, err := tx.Member(member)
	if err != nil {
		return effect{}, err
	}
	if me.Disabled || !me.Role.Can(h.needs) {
		return effect{}, chat.Errorf(chat.CodeForbidden, "Your role does not allow this. Ask an administrator.")
	}
	d := &deed{in: in, tx: tx, me: me, view: chat.ViewOf(me), cmd: c, now: tx.Now(),
		meta: store.Meta{Actor: chat.MemberActor(member), Cause: c.ID}}
	return h.run(d, c.Args)
}

// afterWait is when to try a command again whose forerunner is not known yet.
const afterWait = 2 * time.Second

// checkAfter refuses a command that depends on one which was not applied.
func checkAfter(tx *store.Tx, member chat.MemberID, c chat.Command, earlier *protocol.Result) error {
	if c.After.IsZero() {
		return nil
	}
	refused, final := false, true
	if earlier != nil {
		refused = earlier.Problem != nil
		final = !refused || !unstored(earlier.Problem.Code)
	} else {
		stored, found, err := tx.Verdict(member, c.After)
		if err != nil {
			return err
		}
		refused, final = !found || stored.Status == string(protocol.StatusRefused), found
	}
	if !refused {
		return nil
	}
	if !final { // the earlier one may still come again, and this one with it
		wait := afterWait
		if earlier != nil && earlier.Problem.RetryAfter > 0 {
			wait = time.Duration(earlier.Problem.RetryAfter * float64(time.Second))
		}
		return &chat.Error{Code: chat.CodeTooSoon, RetryAfter: wait, Message: "The command this one follows has not been carried out yet."}
	}
	return chat.Errorf(chat.CodeAfterRefused, "The command this one follows was refused, so this one was not carried out.")
}

// unstored reports whether a refusal is only for now: the same id may come again.
func unstored(code chat.Code) bool { return code == chat.CodeTooSoon }

func applied(tx *store.Tx, member chat.MemberID, c chat.Command, hash []byte, e effect) (protocol.Result, error) {
	data, err := marshal(e.entity)
	if err != nil {
		return protocol.Result{}, err
	}
	r := protocol.Result{ID: c.ID, Status: protocol.StatusApplied, Seq: e.seq, Data: data}
	return r, tx.PutVerdict(store.Verdict{Actor: member, ID: c.ID, Hash: hash, Seq: e.seq,
		Status: string(protocol.StatusApplied), Data: data, At: tx.Now()})
}

func refused(tx *store.Tx, member chat.MemberID, c chat.Command, hash []byte, refusal error) (protocol.Result, error) {
	r := protocol.Result{ID: c.ID, Status: protocol.StatusRefused, Problem: protocol.ProblemOf(refusal)}
	if unstored(r.Problem.Code) {
		return r, nil
	}
	problem, err := marshal(r.Problem)
	if err != nil {
		return r, err
	}
	return r, tx.PutVerdict(store.Verdict{Actor: member, ID: c.ID, Hash: hash,
		Status: string(protocol.StatusRefused), Problem: problem, At: tx.Now()})
}

// repeat answers a command that was judged before.
func repeat(v store.Verdict, hash []byte) protocol.Result {
	r := protocol.Result{ID: v.ID, Status: protocol.StatusDuplicate, Seq: v.Seq, Data: v.Data}
	if !bytes.Equal(v.Hash, hash) {
		return protocol.Result{ID: v.ID, Status: protocol.StatusRefused, Problem: protocol.ProblemOf(
			chat.Errorf(chat.CodeIDReused, "This command id was used for another command. Give each command an id of its own."))}
	}
	if len(v.Problem) > 0 {
		r.Problem = &protocol.Problem{}
		if json.Unmarshal(v.Problem, r.Problem) != nil {
			r.Problem = protocol.ProblemOf(chat.Errorf(chat.CodeInternal, "This command was refused before; the reason can no longer be read."))
		}
	}
	return r
}

// hashOf is the fingerprint of what a command asks for: kind, args in a
// canonical form, and seen. How long it has waited is not part of it, as that
// differs from one try to the next.
func hashOf(c chat.Command) []byte {
	h := sha256.New()
	h.Write([]byte(c.Kind))
	h.Write([]byte{0})
	h.Write(canonical(c.Args))
	h.Write([]byte{0})
	if c.Seen != nil {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(*c.Seen)))
	}
	return h.Sum(nil)
}

// canonical gives JSON with sorted keys and no white space, numbers as
// written; what is not JSON stays as it is.
func canonical(raw json.RawMessage) []byte {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return raw
	}
	b, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return b
}

// clip shortens a foreign name for a sentence.
func clip(s string) string {
	const most = 40
	for i := range s {
		if i >= most {
			return s[:i] + "…"
		}
	}
	return s
}
