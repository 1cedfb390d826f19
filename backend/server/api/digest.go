package api

import (
	"net/http"
	"strconv"
	"strings"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server/inbox"
)

func (a *API) postDigest(w http.ResponseWriter, r *http.Request, who inbox.Principal) error {
	var req protocol.Digest
	if err := decode(w, r, &req); err != nil {
		return err
	}
	if req.Position < 0 {
		return chat.Invalid("position", "A position of the change log is wanted.")
	}
	out, err := a.inbox.Digest(r.Context(), who, req)
	if err != nil {
		return err
	}
	a.metrics.compared(out)
	return answer(w, http.StatusOK, out)
}

// buckets reads the numbers of buckets; nil where none are named.
func (p *params) buckets(name string) []int {
	text := p.text(name)
	if text == "" {
		return nil
	}
	var out []int
	for _, s := range strings.Split(text, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n >= chat.DigestBuckets || len(out) == chat.DigestBuckets {
			if p.err == nil {
				p.err = chat.Invalid(name, "Numbers of buckets, from 0 to %d, with commas between them are wanted.", chat.DigestBuckets-1)
			}
			return nil
		}
		out = append(out, n)
	}
	return out
}

// time reads a moment; zero where there is none.
func (p *params) time(name string) chat.Time {
	var t chat.Time
	if s := p.text(name); s != "" {
		if err := t.UnmarshalJSON([]byte(strconv.Quote(s))); err != nil && p.err == nil {
			p.err = chat.Invalid(name, "A time like 2026-11-22T09:41:00.000000Z is wanted.")
		}
	}
	return t
}

// maxWith is the most conversations that a page is asked to bring along.
const maxWith = 200

// ids reads ids with commas between them.
func queryIDs[E any](p *params, name string) []chat.ID[E] {
	text := p.r.URL.Query().Get(name) // longer than a text may be
	if text == "" {
		return nil
	}
	var out []chat.ID[E]
	for _, s := range strings.Split(text, ",") {
		id, err := chat.ParseID[E](s)
		if err != nil || len(out) == maxWith {
			if p.err == nil {
				p.err = chat.Invalid(name, "At most %d UUIDs in their 36-character form, with commas between them, are wanted.", maxWith)
			}
			return nil
		}
		out = append(out, id)
	}
	return out
}
