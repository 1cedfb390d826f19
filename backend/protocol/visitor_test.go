package protocol

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/backend/chat"
)

// TestVisitorGolden: what browsers read is written down in testdata; a change
// there is a change of the protocol.
func TestVisitorGolden(t *testing.T) {
	at := chat.TimeOf(time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC))
	id, err := chat.ParseID[chat.Message]("01890a5d-ac96-774b-bcce-b302099a8057")
	if err != nil {
		t.Fatal(err)
	}
	m := VisitorMessage{ID: id, Number: 1, Author: VisitorAuthor{Kind: chat.ActorMember, Name: "Ana"},
		Parts: []chat.Part{chat.TextPart("Hello")}, SentAt: at}
	for name, v := range map[string]any{
		"visitor_hello":         VisitorFrame{Type: FrameHello, Token: "t", After: 7},
		"visitor_welcome":       VisitorFrame{Type: FrameWelcome, Beat: 20},
		"visitor_message":       VisitorMessageFrame{Type: FrameMessage, From: 0, To: 1, Message: &m},
		"visitor_shorter":       VisitorMessageFrame{Type: FrameMessage, From: 7, To: 0},
		"visitor_typing":        VisitorFrame{Type: FrameTyping, Name: "Ana", TTL: 6},
		"visitor_read":          VisitorFrame{Type: FrameRead, Upto: 3},
		"visitor_state":         VisitorFrame{Type: FrameState, Status: chat.StatusResolved},
		"visitor_beat":          VisitorFrame{Type: FrameBeat, At: at},
		"visitor_messages":      VisitorMessages{From: 0, To: 1, Messages: []VisitorMessage{m}},
		"visitor_messages_none": VisitorMessages{Messages: []VisitorMessage{}},
		"visitor_session": VisitorSessionAnswer{VisitorToken: "t", Settings: VisitorSettings{Title: "Northwind", Greeting: "Hi!",
			Color: "#00aa88", Language: "en", Theme: "dark", AskName: true, AskEmail: true, Suggested: []string{"Prices?"}, MaxFileBytes: 1 << 20}},
		"visitor_session_plain": VisitorSessionAnswer{VisitorToken: "t"},
	} {
		got, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name+".json")
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(bytes.TrimSpace(want), got) {
			t.Errorf("%s: %v\n%s", file, err, got)
		}
	}
}
