package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"parley/backend/chat"
	"parley/backend/desktop"
	"parley/backend/desktop/prerender"
)

func TestFlags(t *testing.T) {
	t.Setenv("PARLEY_DATA", "/from/environment")
	o, err := parse([]string{"--server", "https://x", "--bridge", "127.0.0.1:0"}, &bytes.Buffer{})
	if err != nil || o.data != filepath.FromSlash("/from/environment") || o.server != "https://x" || o.bridge != "127.0.0.1:0" {
		t.Fatalf("%+v %v", o, err)
	}
	o, err = parse([]string{"--data", "here"}, &bytes.Buffer{})
	if err != nil || !filepath.IsAbs(o.data) || filepath.Base(o.data) != "here" {
		t.Fatalf("%+v %v", o, err)
	}
	t.Setenv("PARLEY_DATA", "")
	t.Setenv("XDG_DATA_HOME", "/home/data")
	if o, err = parse(nil, &bytes.Buffer{}); err != nil || o.data != "/home/data/parley" {
		t.Fatalf("%+v %v", o, err)
	}
	for _, args := range [][]string{{"--nonsense"}, {"extra"}} {
		if code := run(args, &bytes.Buffer{}, &bytes.Buffer{}); code != 2 {
			t.Fatalf("%v ends with %d", args, code)
		}
	}
	var out bytes.Buffer
	if code := run([]string{"--version"}, &out, &bytes.Buffer{}); code != 0 || out.String() != "parley "+version+"\n" {
		t.Fatalf("%d %q", code, out.String())
	}
}

func TestOnlyHarmlessLinksOpen(t *testing.T) {
	a := &App{shell: pageShell{}}
	for link, ok := range map[string]bool{
		"https://example.com/a?b": true, "http://example.com": true, "mailto:a@example.com": true,
		"file:///etc/passwd": false, "javascript:alert(1)": false, "parley://x": false, "smb://x": false, "": false, "C:\\x.exe": false, "%": false,
	} {
		if err := a.OpenLink(link); (err == nil) != ok {
			t.Errorf("%q: %v", link, err)
		}
	}
	if err := a.SaveFile("x", "y"); chat.ErrorCode(err) != chat.CodeUnsupported {
		t.Fatalf("save in a page: %v", err)
	}
}

func TestPagesAreStrict(t *testing.T) {
	page := fstest.MapFS{"index.html": {Data: []byte("<script>\n1</script><script type=\"module\" src=\"/x.js\"></script>")}}
	h := strict(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), page)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/index.html", nil))
	csp := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self' 'sha256-790w0d2loaMp7p0L9hOH7n4lTsaUd+F84cQ3DSjists=';", "object-src 'none'", "base-uri 'none'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy lacks %q: %s", want, csp)
		}
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/files/x", nil))
	if w.Header().Get("Content-Security-Policy") != "" {
		t.Fatal("files have a policy of their own, which this one overwrites")
	}
}

func TestThePageBringsItsOpening(t *testing.T) {
	assets, err := fs.Sub(dist, "frontend/dist")
	if err != nil {
		t.Fatal(err)
	}
	built, err := fs.ReadFile(assets, "index.html")
	if err != nil || !bytes.Contains(built, unanswered) || !bytes.Contains(built, undrawn) || !bytes.Contains(built, unthemed) {
		t.Fatalf("the built page has no place for the opening: %v", err)
	}
	hangs := make(chan struct{})
	defer close(hangs)
	name := `</script><script>alert(1)</script>`
	drawn := func(body string) <-chan prerender.Picture {
		picture := make(chan prerender.Picture, 1)
		picture <- prerender.Picture{Body: body, Fonts: []string{"/assets/a.woff2"}}
		return picture
	}
	read := func(o desktop.Opening) func() (opened, error) {
		return func() (opened, error) {
			data, err := json.Marshal(o)
			return opened{data, themeOf(o.Settings["theme"]), drawn("")}, err
		}
	}
	for what, test := range map[string]struct {
		opening func() (opened, error)
		want    string
	}{
		"at once":     {read(desktop.Opening{State: desktop.AppState{Version: name}}), `\u003c/script\u003e`},
		"not at all":  {func() (opened, error) { return opened{}, errors.New("not now") }, ">null</script>"},
		"much later":  {func() (opened, error) { <-hangs; return opened{}, nil }, ">null</script>"},
		"not as JSON": {read(desktop.Opening{State: desktop.AppState{Me: []byte("{")}}), ">null</script>"},
		"undrawn":     {read(desktop.Opening{}), `<div id="app"></div>`},
		"dark":        {read(desktop.Opening{Settings: map[string]json.RawMessage{"theme": []byte(`"dark"`)}}), `data-theme="dark"`},
		"no theme":    {read(desktop.Opening{Settings: map[string]json.RawMessage{"theme": []byte(`"\"><b>"`)}}), `data-theme="system"`},
		"drawn":       {func() (opened, error) { return opened{[]byte("{}"), "dark", drawn("<p>Inbox</p>")}, nil }, `href="/assets/a.woff2"></head>`},
		"drawn much later": {func() (opened, error) {
			return opened{[]byte(`{"settings":7}`), "", make(chan prerender.Picture)}, nil
		}, `{"settings":7}</script>`},
	} {
		w := httptest.NewRecorder()
		answered(http.NotFoundHandler(), assets, test.opening).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		page := w.Body.String()
		if !strings.Contains(page, test.want) || strings.Contains(page, name) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %s %v", what, page, w.Header())
		}
		if what == "drawn" && !(strings.Contains(page, `<div id="app" inert><p>Inbox</p></div>`) && strings.Contains(page, `data-theme="dark"`)) {
			t.Errorf("the picture is not in the page: %s", page)
		}
		if !strings.HasPrefix(page, "<!doctype html>") || !strings.Contains(page, "</html>") {
			t.Errorf("%s: not the whole page: %s", what, page)
		}
	}
	w := httptest.NewRecorder()
	answered(http.NotFoundHandler(), assets, nil).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/assets/x.js", nil))
	if w.Code != http.StatusNotFound {
		t.Fatalf("another file: %d", w.Code)
	}
}

// heard collects the names of what a window is told.
type heard []string

func (h *heard) emit(name string, _ any) { *h = append(*h, name) }

func TestAWindowReadsAnewWhatItMissed(t *testing.T) {
	everything := []string{desktop.EventState, desktop.EventCounts, desktop.EventList}
	t.Run("nothing was told", func(t *testing.T) {
		var ear late
		var got heard
		ear.listen(got.emit)
		ear.Emit(desktop.EventTyping, nil)
		if !slices.Equal(got, []string{desktop.EventTyping}) {
			t.Fatalf("%v", got)
		}
	})
	t.Run("something was told to nobody", func(t *testing.T) {
		var ear late
		var got heard
		ear.Emit(desktop.EventCounts, nil)
		ear.listen(got.emit)
		if !slices.Equal(got, everything) {
			t.Fatalf("%v", got)
		}
	})
}

func TestOnlyTheFirstPageGetsThePreparedOpening(t *testing.T) {
	engine, err := desktop.Open(t.Context(), desktop.Options{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	draw := func(opening []byte) prerender.Picture { return prerender.Picture{Body: string(opening)} }
	opening := openings(func() *desktop.Engine { return engine }, &late{}, draw)
	for _, want := range []int{0, 1} {
		o, err := opening()
		var got desktop.Opening
		if err := errors.Join(err, json.Unmarshal(o.data, &got)); err != nil || len(got.Settings) != want {
			t.Fatalf("%s %v, wanted %d settings", o.data, err, want)
		}
		if picture, first := <-o.picture, want == 0; (picture.Body == string(o.data)) != first {
			t.Fatalf("the page with %d settings is drawn as %q", want, picture.Body)
		}
		if err := engine.PutSetting("theme", []byte(`"dark"`)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePictureIsDrawnForTheSizeThatTheWindowWillHave(t *testing.T) {
	for what, test := range map[string]struct {
		frame frame
		want  prerender.View
	}{
		"as it was":            {frame{Width: 1440, Height: 900}, prerender.View{Width: 1440, Height: 900}},
		"maximised":            {frame{Width: 1440, Height: 900, Maximised: true, Full: size{2560, 1400}}, prerender.View{Width: 2560, Height: 1400}},
		"maximised, not known": {frame{Width: 1440, Height: 900, Maximised: true}, prerender.View{}},
	} {
		if got := test.frame.page(); got != test.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

func TestTryingAgainOpensTheFolderAgain(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, "local.db")
	if err := os.WriteFile(path, []byte("somebody's diary"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := &engines{open: func() (*desktop.Engine, error) {
		return openEngine(t.Context(), options{data: data, server: "https://x"}, &late{}, nil, slog.New(slog.DiscardHandler))
	}}
	a := &App{engine: e.get, retry: e.retry}
	defer func() {
		if err := e.get().Close(); err != nil {
			t.Error(err)
		}
	}()
	problem := func() string {
		t.Helper()
		st, err := a.State()
		if err != nil {
			t.Fatal(err)
		}
		if st.Connection.Problem == nil {
			return ""
		}
		return *st.Connection.Problem
	}
	said := problem()
	if err := a.Retry(); said == "" || chat.ErrorMessage(err) != said {
		t.Fatalf("the window says %q, trying again says %v", said, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := a.Retry(); err != nil || problem() != "" {
		t.Fatalf("the folder is usable: %v, the window says %q", err, problem())
	}
	if err := a.PutSetting("theme", []byte(`"dark"`)); err != nil {
		t.Fatalf("the engine is not a whole one: %v", err)
	}
	now := e.get()
	if err := a.Retry(); err != nil || e.get() != now {
		t.Fatalf("a usable folder was opened again: %v", err)
	}
}

func TestLinksKeepTheirAddress(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	home, data := busy.Addr().String(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "listen"), []byte(home), 0o600); err != nil {
		t.Fatal(err)
	}
	if url, moved := startEmbedded(t, data); url == "http://"+home || !moved {
		t.Fatalf("with the address taken: %s, moved %v", url, moved)
	}
	if err := busy.Close(); err != nil {
		t.Fatal(err)
	}
	if url, moved := startEmbedded(t, data); url != "http://"+home || moved {
		t.Fatalf("with the address free again: %s, moved %v, wanted %s", url, moved, home)
	}
}

func TestLinksKeepTheAddressOfAFirstStartWithoutThePreferredOne(t *testing.T) {
	if busy, err := net.Listen("tcp", preferredListen); err == nil { // else another program has it already
		defer func() { _ = busy.Close() }()
	}
	data := t.TempDir()
	first, moved := startEmbedded(t, data)
	if first == "http://"+preferredListen || moved {
		t.Fatalf("the first start: %s, moved %v", first, moved)
	}
	if url, moved := startEmbedded(t, data); url != first || moved {
		t.Fatalf("the next start: %s, moved %v, wanted %s", url, moved, first)
	}
}

// startEmbedded starts a backend inside and stops it again.
func startEmbedded(t *testing.T, data string) (url string, moved bool) {
	t.Helper()
	e := &embedded{data: data, log: slog.New(slog.DiscardHandler)}
	url, err := e.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	moved = e.Moved()
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return url, moved
}

func TestTheWindowComesBackWhereItCanBeSeen(t *testing.T) {
	one, two := []size{{1920, 1080}}, []size{{1920, 1080}, {2560, 1440}}
	for name, test := range map[string]struct {
		x, y     int
		was, now []size
		want     bool
	}{
		"on the main screen":              {100, 100, one, one, true},
		"on the screen to the right":      {2500, 100, two, two, true},
		"on the screen to the left":       {-1500, 40, two, two, true},
		"on the screen above":             {10, -900, two, two, true},
		"a little over the left edge":     {-8, 0, one, one, true},
		"on a screen that is gone, left":  {-1500, 40, two, one, false},
		"on a screen that is gone, right": {2500, 100, two, one, false},
		"on a screen that is gone, above": {10, -900, two, one, false},
		"on the main screen of more":      {100, 100, one, two, true},
		"of before screens were kept":     {100, 100, nil, one, true},
		"left, of before that":            {-1500, 40, nil, two, false},
		"far away":                        {-9000, 40, two, two, false},
		"below all":                       {0, 5000, two, two, false},
		"screens not known":               {100, 100, one, nil, false},
	} {
		data := t.TempDir()
		kept, err := json.Marshal(frame{X: test.x, Y: test.y, Width: 1440, Height: 900, Screens: test.was})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, frameFile), kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if f := readFrame(data); !f.placed || f.visible(test.now) != test.want {
			t.Errorf("%s: put there %v, wanted %v", name, !test.want, test.want)
		}
	}
}

func TestTheWindowIsEmptyInItsOwnColours(t *testing.T) {
	data := t.TempDir()
	light := readFrame(data).background()
	writeFrame(data, frame{Width: 1440, Height: 900, Dark: true}, slog.New(slog.DiscardHandler))
	if dark := readFrame(data).background(); light.R < 200 || dark.R > 50 {
		t.Fatalf("light is %+v, dark is %+v", light, dark)
	}
}

func TestErrorsHaveCodeAndSentence(t *testing.T) {
	got, ok := formatError(chat.Errorf(chat.CodeClosed, "It has ended.")).(map[string]string)
	if !ok || got["code"] != "closed" || got["message"] != "It has ended." {
		t.Fatalf("%v", got)
	}
}
