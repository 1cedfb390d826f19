package api

import (
	"encoding/json"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

// TestPacketFrame holds the frame that is put together by hand to what encoding it would give.
func TestPacketFrame(t *testing.T) {
	for _, texts := range [][]string{{}, {"one"}, {"one", "<two> & \u2028 \"three\""}} {
		changes, entries := []json.RawMessage{}, []entry{}
		for i, text := range texts {
			raw, err := json.Marshal(chat.Change{Seq: int64(i + 1), Kind: chat.EntityMessage, Data: json.RawMessage(`{"text":` + string(mustJSON(t, text)) + `}`)})
			if err != nil {
				t.Fatal(err)
			}
			changes, entries = append(changes, raw), append(entries, entry{raw: raw}, entry{raw: json.RawMessage(`"not picked"`)})
		}
		want := mustJSON(t, struct {
			Type    protocol.FrameType `json:"type"`
			From    int64              `json:"from"`
			To      int64              `json:"to"`
			Changes []json.RawMessage  `json:"changes"`
		}{protocol.FrameChanges, 1 << 51, 1 << 52, changes})
		k := frameKey{from: 1 << 51, read: 1<<52 - int64(len(entries)), to: 1 << 52}
		for i := range changes {
			k.pick(2 * i)
		}
		if got := k.frame(entries); string(got) != string(want) {
			t.Errorf("the frame is\n%s, want\n%s", got, want)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
