package desktop

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/cache"
	"parley/backend/desktop/outbox"
)

// A member is told once of each message of theirs that did not go out, however
// this device came to know of it: by the answer to it, by the log, ahead of it,
// or by a load after a long absence. What was told is kept in local.db, so that neither a crash nor
// a page that overtakes the log swallows it, and nothing is told twice.
//
// The first load on a device brings what has failed in the weeks before, which
// its author may have long dealt with elsewhere: that is listed, and not told.

const (
	undeliveredDays = 7  // for so long a failed delivery is listed, from when it was told
	failedDays      = 90 // what was stored longer ago is not looked for
)

// toldSince is the setting that keeps since when this device tells: what was
// stored before came with the first load.
const toldSince = "told_since"

// beginTelling finds out since when this device tells.
func (s *session) beginTelling(ctx context.Context) {
	raw, ok, err := s.local.Setting(ctx, toldSince)
	_, epoch := s.cache.Position()
	empty := epoch == "" && s.cache.Era() == 0 // also after the cache was made anew
	if err == nil && ok && !empty && json.Unmarshal(raw, &s.tells) == nil {
		return
	}
	s.tells = s.e.now()
	if err == nil {
		if raw, err = json.Marshal(s.tells); err == nil {
			err = s.local.PutSetting(ctx, toldSince, raw)
		}
	}
	if err != nil {
		s.e.log.Warn("note since when failures are told", "error", err)
	}
}

// listedFrom is from when on the days count for which a failed delivery is
// listed.
func (s *session) listedFrom(m chat.Message, told map[string]chat.Time) chat.Time {
	at, known := told[undeliveredPrefix+m.ID.String()]
	switch {
	case known:
		return at
	case m.StoredAt >= s.tells:
		return s.e.now() // about to be told
	case m.StoredAt >= s.tells.Add(-bootstrapDays*24*time.Hour):
		return s.tells // came with the first load
	}
	return m.StoredAt
}

// refused tells of what the outbox has just refused.
func (s *session) refused() { s.tellFailed(nil) }

// tellFailed raises what has not gone out and was not told yet: what waits
// refused on this device, or for too long, and what came to pass since this
// device tells, or was seen to fail.
func (s *session) tellFailed(failed []cache.Failed) {
	s.telling.Lock()
	defer s.telling.Unlock()
	told, err := s.local.Told(s.ctx)
	if err == nil {
		l := s.laterNow()
		due := slices.Clone(l.due)
		for _, f := range failed {
			if entry, mine := s.failedEntry(f); mine && f.Seen {
				due = append(due, entry)
			}
		}
		var now []string
		tell := func(entry string, raise func()) {
			if _, ok := told[entry]; !ok && !slices.Contains(now, entry) {
				raise()
				now = append(now, entry)
			}
		}
		refused := s.outbox.Snapshot().Refused()
		for _, w := range refused {
			tell(w.ID.String(), func() { s.tellRefused(w) })
		}
		for _, entry := range due {
			tell(entry.ID, func() { s.undelivered(entry, entry.Problem.Code, entry.Problem.Detail) })
		}
		for _, w := range s.unconfirmedTexts() {
			tell(unconfirmedPrefix+w.ID.String(), func() { s.undelivered(entryOf(w), codeUnconfirmed, s.unconfirmedReason()) })
		}
		over := s.noLongerFailed(told, l, refused)
		if len(now)+len(over) == 0 {
			return
		}
		if err = s.local.NoteTold(s.ctx, s.e.now(), now, over); err == nil {
			s.readLater(s.ctx)
		}
	}
	if err != nil && s.ctx.Err() == nil {
		s.e.log.Warn("tell what has not gone out", "error", err) // with the next change
	}
}

// failedEntry gives the window's entry of what has failed, if it is this
// member's.
func (s *session) failedEntry(f cache.Failed) (entry OutboxEntry, mine bool) {
	if f.Kind == chat.EntityScheduled {
		var x chat.Scheduled
		if json.Unmarshal(f.Data, &x) != nil || x.Member != s.me || len(x.Problem) == 0 {
			return entry, false
		}
		return s.scheduledEntry(x), true
	}
	var m chat.Message
	if json.Unmarshal(f.Data, &m) != nil || !m.Author.IsMember(s.me) || m.Delivery == nil {
		return entry, false
	}
	return undeliveredEntry(m), true
}

// noLongerFailed gives what was told and is not so any more: should it fail
// again, it is told again. What has merely left the cache is still told.
func (s *session) noLongerFailed(told map[string]chat.Time, l *later, refused []outbox.Entry) (over []string) {
	old := s.e.now().Add(-failedDays * 24 * time.Hour)
	for entry, at := range told {
		if _, ok := l.failing[entry]; ok {
			continue
		}
		if id, err := chat.ParseID[chat.Command](entry); err == nil { // of the outbox
			waits := slices.ContainsFunc(refused, func(w outbox.Entry) bool { return w.ID == id })
			if !waits && !s.locked.Load() {
				over = append(over, entry)
			}
			continue
		}
		if text, ok := strings.CutPrefix(entry, unconfirmedPrefix); ok {
			waits := slices.ContainsFunc(s.outbox.Snapshot().Waiting(s.e.now()), func(w outbox.Entry) bool { return w.ID.String() == text })
			if !waits && !s.locked.Load() {
				over = append(over, entry)
			}
			continue
		}
		if at < old || strings.HasPrefix(entry, scheduledPrefix) && s.cache.Loaded() {
			over = append(over, entry)
			continue
		}
		text, _ := elsewhere(entry, undeliveredPrefix)
		id, err := chat.ParseID[chat.Message](text)
		if err != nil {
			continue
		}
		var m chat.Message
		raw, err := s.cache.Message(s.ctx, id)
		if err == nil && json.Unmarshal(raw, &m) == nil && (m.Delivery == nil || m.Delivery.State != chat.DeliveryFailed) {
			over = append(over, entry)
		}
	}
	return over
}
