package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"parley/backend/chat"
	"parley/backend/protocol"
)

func TestDecodeNamesTheField(t *testing.T) {
	for _, c := range []struct{ name, body, field string }{
		{"not JSON", `{`, ""},
		{"cut off", `{"commands":[`, ""},
		{"wrong whole", `[]`, ""},
		{"text for a list", `{"commands":"x"}`, "commands"},
		{"number for an object", `{"commands":[7]}`, "commands.0"},
		{"broken id in the second", `{"commands":[{"kind":"a"},{"id":"zzz"}]}`, "commands.1.id"},
		{"number for an id", `{"commands":[{"id":7}]}`, "commands.0.id"},
		{"text for a number", `{"commands":[{"seen":"7"}]}`, "commands.0.seen"},
		{"fraction for a whole number", `{"commands":[{"age_ms":1.5}]}`, "commands.0.age_ms"},
		{"broken UTF-8", "{\"commands\":[{\"kind\":\"\xff\"}]}", ""},
		{"half a surrogate pair", `{"commands":[{"kind":"\ud83d"}]}`, ""},
		{"the other half", `{"commands":[{"kind":"\udc00x"}]}`, ""},
	} {
		var v protocol.Commands
		err := protocol.Decode([]byte(c.body), &v)
		if chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%s: %v, want invalid", c.name, err)
			continue
		}
		p := protocol.ProblemOf(err)
		if p.Field != c.field || p.Status != 400 || p.Detail == "" {
			t.Errorf("%s: field %q status %d detail %q, want field %q", c.name, p.Field, p.Status, p.Detail, c.field)
		}
	}
}

func TestDecodeIgnoresWhatItDoesNotKnow(t *testing.T) {
	var v protocol.Commands
	body := `{"new":{"a":[1]},"commands":[{"kind":"message.send","later":true,"args":{"text":"\ud83d\ude00 \\ud83d"}}]}`
	if err := protocol.Decode([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Commands) != 1 || v.Commands[0].Kind != protocol.MessageSend {
		t.Errorf("decoded %+v", v)
	}
}

// FuzzDecodeCommands: whatever comes, Decode never panics, never lets broken
// text through, and what it accepts can be written again.
func FuzzDecodeCommands(f *testing.F) {
	f.Add([]byte(`{"commands":[{"id":"01890000-0000-7000-8000-000000000000","kind":"message.send","args":{"parts":[{"kind":"text","text":"hi"}]},"seen":1}]}`))
	f.Add([]byte(`{"commands":[{"id":null,"args":null,"seen":null,"after":""}]}`))
	f.Add([]byte(`{"commands":[{"kind":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var v protocol.Commands
		err := protocol.Decode(body, &v)
		if err != nil {
			if chat.ErrorCode(err) != chat.CodeInvalid {
				t.Fatalf("code %q of %v", chat.ErrorCode(err), err)
			}
			return
		}
		if _, err := json.Marshal(v); err != nil {
			t.Fatalf("accepted %q but cannot write it: %v", body, err)
		}
		for _, c := range v.Commands {
			var args protocol.MessageSendArgs
			if len(c.Args) > 0 {
				if err := protocol.Decode(c.Args, &args); err == nil {
					for _, p := range args.Parts {
						if strings.ContainsRune(p.Text, '\uFFFD') && !strings.Contains(string(body), "\uFFFD") &&
							!strings.Contains(strings.ToLower(string(body)), `\ufffd`) {
							t.Fatalf("text was repaired: %q from %q", p.Text, body)
						}
					}
				}
			}
		}
	})
}

// FuzzDecodeFrame does the same for frames of the live socket.
func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte(`{"type":"hello","after":0,"client":"parley/1.2 linux"}`))
	f.Add([]byte(`{"type":"typing","conversation":"01890000-0000-7000-8000-000000000000","ttl":6}`))
	f.Add([]byte(`{"type":"changes","from":1,"to":2,"changes":[{"seq":2,"at":"2024-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var frame protocol.Frame
		if protocol.Decode(body, &frame) != nil {
			return
		}
		out, err := json.Marshal(frame)
		if err != nil {
			t.Fatalf("accepted %q but cannot write it: %v", body, err)
		}
		var again protocol.Frame
		if err := protocol.Decode(out, &again); err != nil {
			t.Fatalf("%s does not come back: %v", out, err)
		}
	})
}
