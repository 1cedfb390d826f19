package desktop

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"parley/backend/chat"
	"parley/backend/desktop/outbox"
	"parley/backend/protocol"
)

// PutMe changes the member's own choices, on every device; shown at once.
func (e *Engine) PutMe(m MePut) error {
	s, err := e.session()
	if err != nil {
		return err
	}
	if m.ReadMode != nil && !slices.Contains([]string{"manual", "on_reply", "on_open"}, *m.ReadMode) {
		return chat.Invalid("read_mode", "Messages are marked read manually, on reply or on opening.")
	}
	if m.SendKey != nil && !slices.Contains([]string{"enter", "ctrl_enter"}, *m.SendKey) {
		return chat.Invalid("send_key", "The key that sends is Enter or Ctrl+Enter.")
	}
	if m.UndoSeconds != nil && (*m.UndoSeconds < 0 || *m.UndoSeconds > int64(chat.MaxUndo/time.Second)) {
		return chat.Invalid("undo_seconds", "A message can be taken back for 0 to 30 seconds.")
	}
	if m == (MePut{}) {
		return nil
	}
	_, err = s.enqueue(outbox.Entry{Kind: protocol.MePut}, protocol.MePutArgs{ReadMode: m.ReadMode, SendKey: m.SendKey, Language: m.Language, UndoSeconds: m.UndoSeconds}, false)
	return err
}

// myself gives the member with the changes of their choices that wait.
func (s *session) myself(ctx context.Context) json.RawMessage {
	// What waits is read first: a change confirmed in between is then applied
	// twice, never missed.
	waiting := s.outbox.Snapshot().OfMe()
	raw, err := s.cache.Member(ctx, s.me)
	if err != nil {
		raw = s.account.Me
	}
	return overlayMe(raw, waiting)
}

// overlayMe leaves every field it does not change as it is, known or not.
func overlayMe(raw json.RawMessage, waiting []outbox.Entry) json.RawMessage {
	if len(waiting) == 0 {
		return raw
	}
	fields, settings := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	if json.Unmarshal(raw, &fields) != nil || (fields["settings"] != nil && json.Unmarshal(fields["settings"], &settings) != nil) {
		return raw
	}
	if settings == nil { // "settings":null
		settings = map[string]json.RawMessage{}
	}
	for _, w := range waiting {
		args := map[string]json.RawMessage{}
		if json.Unmarshal(w.Args, &args) == nil {
			maps.Copy(settings, args)
		}
	}
	var err error
	if fields["settings"], err = json.Marshal(settings); err != nil {
		return raw
	}
	b, err := json.Marshal(fields)
	if err != nil {
		return raw
	}
	return b
}

func (s *session) readsOnReply() bool {
	var m chat.Member
	return json.Unmarshal(s.myself(s.ctx), &m) == nil && (m.Settings.ReadMode == "" || m.Settings.ReadMode == "on_reply")
}

// undo is how long a message can be taken back before it is handed in.
func (s *session) undo() time.Duration {
	var m chat.Member
	if json.Unmarshal(s.myself(s.ctx), &m) != nil {
		return 0
	}
	return min(max(time.Duration(m.Settings.UndoSeconds)*time.Second, 0), chat.MaxUndo)
}
