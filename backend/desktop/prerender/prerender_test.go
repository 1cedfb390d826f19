package prerender

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// built is what the window was built with.
func built(t *testing.T) []byte {
	t.Helper()
	code, err := os.ReadFile("../../../frontend/dist/prerender.bin")
	if err != nil {
		t.Fatalf("the window has to be built first: %v", err)
	}
	return code
}

type object = map[string]any

// soon is a moment that a list names by the clock at any time of the day.
var soon = time.Now().Add(time.Hour)

// inbox is an opening with one row for each age that a list names in another way.
func inbox(name string) object {
	ages := []time.Duration{0, 26 * time.Hour, 4 * 24 * time.Hour, 40 * 24 * time.Hour, 400 * 24 * time.Hour}
	var rows []object
	for i, age := range ages {
		at := soon.Add(-age).UTC().Format(time.RFC3339)
		rows = append(rows, object{"label": fmt.Sprint(name, i), "channel_kind": "whatsapp", "brand": "b", "assignee_name": "", "draft": "",
			"pending": 0, "refused": 0, "conversation": object{"id": fmt.Sprint("c", i), "brand": "b", "contact": "x", "unread": i,
				"state": "assistant", "holder": nil, "assignee": nil, "status": "open", "last_message_at": at, "last_customer_at": at,
				"preview": "Здравствуйте", "preview_kind": "text", "preview_author": object{"kind": "customer"}}})
	}
	connection := object{"status": "connecting"}
	cached := object{"conversations": 5, "readable": 5}
	state := object{"account": "a", "accounts": []object{{"id": "a", "server": "https://x.example", "active": true}}, "loaded": true,
		"me": object{"id": "m", "name": "Ana", "settings": object{}}, "members": []object{}, "channels": []object{}, "warnings": []object{},
		"brands": []object{{"id": "b", "name": "North", "color": "#114477", "position": 0}}, "connection": connection, "cached": cached,
		"outbox": object{"queued": 0, "refused": 0}, "share_links": []object{}}
	return object{"settings": object{}, "state": state, "counts": object{"brands": object{}, "quick": object{}}, "list": object{"rows": rows, "next": ""}}
}

func draw(t *testing.T, opening object) (Picture, error) {
	t.Helper()
	data, err := json.Marshal(opening)
	if err != nil {
		t.Fatal(err)
	}
	return Render(built(t), data, View{Width: 1440, Height: 900}, time.Minute)
}

func TestThePictureIsTheWindow(t *testing.T) {
	name := `<img src=x onerror=alert(1)>"'`
	p, err := draw(t, inbox(name))
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(p.Body, `role="option"`); n != 5 {
		t.Errorf("%d rows of 5", n)
	}
	if strings.Contains(p.Body, "<img") || !strings.Contains(p.Body, "&lt;img src=x onerror=alert(1)>") {
		t.Error("a customer's name is not text")
	}
	if at := ">" + soon.Format("15:04") + "</time>"; !strings.Contains(p.Body, at) {
		t.Errorf("no row says %q, the time of this computer", at)
	}
	if len(p.Fonts) != 1 || !strings.HasPrefix(p.Fonts[0], "/assets/inter-cyrillic-wght-normal") {
		t.Errorf("the fonts are %q", p.Fonts)
	}
	if _, err := os.Stat("../../../frontend/dist" + strings.Join(p.Fonts, "")); err != nil {
		t.Errorf("the page would ask for a font that is not there: %v", err)
	}
}

func TestThereIsNoPictureOfHalfAnOpening(t *testing.T) {
	for _, part := range []string{"counts", "list"} {
		half := inbox("Ana")
		half[part] = nil
		if p, err := draw(t, half); !errors.Is(err, ErrNoPicture) {
			t.Errorf("without %s: %q, %v", part, p.Body, err)
		}
	}
	if p, err := draw(t, object{"settings": object{}, "state": object{}}); err == nil {
		t.Errorf("of a state that is none: %q", p.Body)
	}
}

func TestDrawingGivesUp(t *testing.T) {
	endless, err := Compile("globalThis.prerender = () => { for (;;); }")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Render(endless, nil, View{}, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "draw the window: InternalError: interrupted") {
		t.Errorf("an endless script has ended with %v", err)
	}
	if _, err := Render([]byte("not what the engine has made"), nil, View{}, time.Minute); err == nil {
		t.Error("foreign code was run")
	}
}
