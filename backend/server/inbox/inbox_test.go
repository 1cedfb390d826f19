package inbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/backend/chat"
)

func TestTheHashIsOfWhatIsAsked(t *testing.T) {
	three, four := int64(3), int64(4)
	base := chat.Command{Kind: "message.send", Args: json.RawMessage(`{"a":1,"b":[true,"x"],"n":12345678901234567890}`), Seen: &three}
	same := func(name string, c chat.Command, want bool) {
		t.Helper()
		if got := bytes.Equal(hashOf(base), hashOf(c)); got != want {
			t.Errorf("%s: same is %v, want %v", name, got, want)
		}
	}
	c := base
	c.AgeMS, c.ID = 5000, chat.NewID[chat.Command]()
	same("another age", c, true)
	c.Args = json.RawMessage(`{ "n": 12345678901234567890, "b": [true, "x"], "a": 1 }`)
	same("other order and spaces", c, true)
	c.Args = json.RawMessage(`{"a":1,"b":[true,"x"],"n":12345678901234567891}`)
	same("a number that differs only in its last digit", c, false)
	c = base
	c.Seen = &four
	same("another seen", c, false)
	c.Seen = nil
	same("no seen", c, false)
	c = base
	c.Kind = "comment.add"
	same("another kind", c, false)
}

func TestMemoForgets(t *testing.T) {
	now := chat.Time(1_000_000)
	m := newMemo[int, string](8, time.Second, func() chat.Time { return now })
	for i := range 100 {
		m.put(i, fmt.Sprint(i))
	}
	if len(m.m) > 8 {
		t.Errorf("%d entries, at most 8 are wanted", len(m.m))
	}
	if v, ok := m.get(99); !ok || v != "99" {
		t.Errorf("the newest is gone: %q %v", v, ok)
	}
	m.dropIf(func(v string) bool { return v == "99" })
	if _, ok := m.get(99); ok {
		t.Error("a dropped entry is still there")
	}
	m.put(1, "one")
	now = now.Add(time.Second)
	if _, ok := m.get(1); ok {
		t.Error("an expired entry is still there")
	}
}

func TestSniff(t *testing.T) {
	ogg := append([]byte("OggS\x00\x02"), make([]byte, 22)...)
	for want, content := range map[string][]byte{
		"image/png":                 []byte("\x89PNG\r\n\x1a\n....."),
		"text/html; charset=utf-8":  []byte("<!doctype html><script>"),
		"audio/ogg":                 append(ogg, "OpusHead"...),
		"application/ogg":           append(ogg, "something"...),
		"audio/mp4":                 []byte("\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00isom"),
		"application/octet-stream":  {0, 1, 2, 3},
		"text/plain; charset=utf-8": {},
	} {
		if got, err := sniff(bytes.NewReader(content)); err != nil || got != want {
			t.Errorf("%q: %s %v, want %s", content, got, err, want)
		}
	}
}

func TestSlugs(t *testing.T) {
	for in, want := range map[string]string{"Acme & Söhne GmbH": "acme-s-hne-gmbh", "日本": "chat", "  ": "chat", strings.Repeat("ab ", 40): "ab-ab-ab-ab-ab-ab-ab-ab-ab-ab"} {
		if got := slug(in); got != want {
			t.Errorf("slug(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAClaimOverwritesNothing(t *testing.T) {
	c := chat.Contact{Name: "Known", Phone: ""}
	a := arrival{Name: "Claimed", Phone: "+1", Verified: true}
	if !a.fill(&c) || c.Name != "Known" || c.Phone != "+1" || !c.Verified {
		t.Errorf("contact %+v", c)
	}
	if a.fill(&c) {
		t.Error("filling twice changed something")
	}
	first := arrival{Name: "A", Origin: &chat.Origin{Page: "https://first"}}
	later := arrival{Email: "a@b.example", Origin: &chat.Origin{Page: "https://second"}}.over(first)
	if later.Name != "A" || later.Email != "a@b.example" || later.Origin.Page != "https://first" {
		t.Errorf("merged %+v", later)
	}
}

func TestWhatABrowserSendsIsCut(t *testing.T) {
	utm := map[string]string{}
	for i := range 50 {
		utm[fmt.Sprint(i)] = strings.Repeat("v", 500)
	}
	o := cutOrigin(&chat.Origin{Page: strings.Repeat("é", 5000) + "\x00", UTM: utm})
	if len(o.Page) > 2048 || len(o.UTM) != 10 || strings.Contains(o.Page, "\uFFFD") {
		t.Errorf("page of %d bytes, %d parameters", len(o.Page), len(o.UTM))
	}
	if cutOrigin(&chat.Origin{}) != nil {
		t.Error("an empty origin is none")
	}
}
