package chat_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"parley/backend/chat"
)

func TestIDRoundTrip(t *testing.T) {
	id := chat.NewID[chat.Message]()
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	var back chat.MessageID
	if err := json.Unmarshal(b, &back); err != nil || back != id {
		t.Fatalf("JSON: %v %v", back, err)
	}
	v, err := id.Value()
	if err != nil {
		t.Fatal(err)
	}
	var scanned chat.MessageID
	if err := scanned.Scan(v); err != nil || scanned != id {
		t.Fatalf("SQL: %v %v", scanned, err)
	}
	var none chat.MessageID
	if b, _ := json.Marshal(none); string(b) != "null" {
		t.Errorf("none is %s in JSON", b)
	}
	if v, _ := none.Value(); v != nil {
		t.Errorf("none is %v in SQL", v)
	}
}

func TestParseIDRefusesEveryOtherForm(t *testing.T) {
	for _, s := range []string{"", "x", "{0190a6b0-1111-7000-8000-000000000000}", "urn:uuid:0190a6b0-1111-7000-8000-000000000000", "0190a6b0111170008000000000000000", "0190a6b0-1111-7000-8000-00000000000g"} {
		if _, err := chat.ParseID[chat.Message](s); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestBadIDsAndTimesAreToldInSentences(t *testing.T) {
	var id chat.MessageID
	var at chat.Time
	for _, c := range []struct {
		body string
		into any
	}{{`"x"`, &id}, {`"0190a6b0-1111-7000-8000-00000000000g"`, &id}, {`7`, &id}, {`"yesterday"`, &at}, {`12`, &at}, {`"0000-01-01T00:00:00Z"`, &at}} {
		s := chat.ErrorMessage(json.Unmarshal([]byte(c.body), c.into))
		if first, _ := utf8.DecodeRuneInString(s); !unicode.IsUpper(first) || !strings.HasSuffix(s, ".") {
			t.Errorf("%s: %q is no sentence", c.body, s)
		}
	}
}

func TestTimeHasSixDecimals(t *testing.T) {
	at := chat.TimeOf(time.Date(2026, 11, 22, 9, 41, 0, 120_000, time.FixedZone("x", 3600)))
	b, _ := json.Marshal(at)
	if string(b) != `"2026-11-22T08:41:00.000120Z"` {
		t.Errorf("got %s", b)
	}
	var back chat.Time
	if err := json.Unmarshal(b, &back); err != nil || back != at {
		t.Errorf("round trip: %v %v", back, err)
	}
	for _, bad := range []string{`"yesterday"`, `12`, `"2026-13-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`} {
		if err := json.Unmarshal([]byte(bad), &back); chat.ErrorCode(err) != chat.CodeInvalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("0190a6b0-1111-7000-8000-000000000000")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := chat.ParseID[chat.Message](s)
		if err != nil {
			return
		}
		if again, err := chat.ParseID[chat.Message](id.String()); !id.IsZero() && (err != nil || again != id) {
			t.Fatalf("%q: %v %v", s, again, err)
		}
	})
}
