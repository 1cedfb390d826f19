package outbox

import (
	"slices"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// ends reports whether the entry ends the work on a conversation: who answers
// and resolves has not resolved it while the answer is refused.
func (e Entry) ends() bool {
	return e.Kind == protocol.ConversationResolve || e.Kind == protocol.HandoffRelease
}

// follows reports whether the entry waits for the author of a refused text.
func (e Entry) follows() bool { return e.Problem != nil && e.ends() }

// hold keeps what ends the conversation from going out behind a text that is
// refused. What is pressed afterwards is pressed with the refusal in view, and
// goes.
func (l *lane) hold(text int) {
	for _, it := range l.items[text+1:] {
		if it.ends() && it.Problem == nil && !it.Sending {
			it.Problem = protocol.ProblemOf(chat.Errorf(chat.CodeAfterRefused, "This waits until it is decided about the text before it."))
		}
	}
}

// Following gives what is held behind a refused text, and behind no other.
func (q *Queue) Following(text chat.CommandID) []Entry {
	l, at := q.find(text)
	if l == nil {
		return nil
	}
	var out []Entry
	for i, it := range l.items {
		switch {
		case i != at && it.Text() && it.Problem != nil:
			return out
		case i > at && it.follows():
			out = append(out, it.Entry)
		}
	}
	return out
}

// TakenBackWith gives what was to end the conversation behind an answer that
// can be taken back: without the answer nobody meant that.
func (q *Queue) TakenBackWith(text chat.CommandID) (out []Entry) {
	l, at := q.find(text)
	if l == nil {
		return nil
	}
	if answer := l.items[at]; answer.Kind != protocol.MessageSend || answer.Problem != nil || !answer.SendAt.IsZero() {
		return nil
	}
	for _, it := range l.items[at+1:] {
		if it.ends() && it.Problem == nil && !it.Sending && !it.Uncertain {
			out = append(out, it.Entry)
		}
	}
	return out
}

// ReleaseFollowing lets go out what was held: its text goes out too. What its
// author had in view as they decided that counts for both.
func (q *Queue) ReleaseFollowing(id chat.CommandID, seen *int64) (Entry, bool) {
	l, i := q.find(id)
	if l == nil {
		return Entry{}, false
	}
	l.items[i].Problem = nil
	if had := l.items[i].Seen; had != nil && seen != nil && *seen > *had {
		l.items[i].Seen = seen
	}
	return l.items[i].Entry, true
}

// ReleaseAlone releases what is held behind no text: the program ended between
// the decision about the text and what follows from it.
func (q *Queue) ReleaseAlone() {
	for _, l := range q.lanes {
		for i, it := range l.items {
			if it.follows() && !slices.ContainsFunc(l.items[:i], func(b *item) bool { return b.Text() && b.Problem != nil }) {
				it.Problem = nil
			}
		}
	}
}
