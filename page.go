package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/backend/desktop"
	"parley/backend/desktop/bridge"
	"parley/backend/desktop/prerender"
)

// policy is what the window's page may do: run our scripts, talk to the
// program it came from, show what it was given, and nothing else. The scripts
// that stand in the page are named by their hashes.
const policy = "default-src 'none'; script-src 'self'%s; style-src 'self' 'unsafe-inline'; font-src 'self' data:; " +
	"img-src 'self' data: blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"

var inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)

// strict sets the policy on everything but files, which have a stricter one.
func strict(next http.Handler, assets fs.FS) http.Handler {
	page, _ := fs.ReadFile(assets, "index.html") // who asks for a page that is missing is told
	hashes := ""
	for _, script := range inlineScript.FindAllSubmatch(page, -1) {
		sum := sha256.Sum256(script[1])
		hashes += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	policy := fmt.Sprintf(policy, hashes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/files/") {
			h := w.Header()
			h.Set("Content-Security-Policy", policy)
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", "no-referrer")
		}
		next.ServeHTTP(w, r)
	})
}

const (
	// firstRows are the rows of the list that the page is given: the first page it would ask for.
	firstRows = 60
	// openingPatience is how long the page waits for the engine. One that takes
	// longer, over a migration say, is waited for by a window that can say so.
	openingPatience = 200 * time.Millisecond
	// drawingPatience is how long a step of drawing the first picture may take;
	// a page that draws it itself takes longer than that on no machine.
	drawingPatience = 500 * time.Millisecond
)

// Where the page, as it is built, has room for what it shows first: drawn, and as data.
var (
	undrawn    = []byte(`<div id="app"></div>`)
	unanswered = []byte(`<script type="application/json" id="opening">null</script>`)
	headEnd    = []byte(`</head>`)
	unthemed   = []byte(`data-theme="system"`)
)

// opened is what the page shows first.
type opened struct {
	data  []byte // a desktop.Opening as JSON
	theme string // light or dark; empty: the system's
	// picture gets the window that starts from it as markup, empty when the
	// page is to draw it.
	picture <-chan prerender.Picture
}

// answered gives the page what it shows first along with itself, so that the
// first thing painted is the inbox, and not a window that has to ask for it.
func answered(next http.Handler, assets fs.FS, opening func() (opened, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			next.ServeHTTP(w, r)
			return
		}
		page, err := fs.ReadFile(assets, "index.html")
		if err != nil {
			http.Error(w, "The window is missing from this program.", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(withOpening(page, opening)) // the page has gone: nobody to tell
	})
}

// openings gives what the page shows first. It is read and drawn as soon as the
// engine is open, for the page that will soon ask; a page that is loaded again
// gets a new one, and draws it by itself.
func openings(engine func() *desktop.Engine, ear *late, draw func(opening []byte) prerender.Picture) func() (opened, error) {
	read := func(draw func(opening []byte) prerender.Picture) (opened, error) {
		e := engine()
		ear.missed.Store(false) // what was told so far is in it
		opening, err := e.Opening(firstRows)
		if err != nil {
			return opened{}, err
		}
		data, err := json.Marshal(opening) // no "<" in it: nothing that was written ends the script
		if err != nil {
			return opened{}, err
		}
		picture := make(chan prerender.Picture, 1)
		go func() { picture <- draw(data) }()
		return opened{data, themeOf(opening.Settings["theme"]), picture}, nil
	}
	first := sync.OnceValues(func() (opened, error) { return read(draw) })
	go func() { _, _ = first() }() // who asks gets the error
	var asked atomic.Bool
	return func() (opened, error) {
		if asked.Swap(true) {
			return read(undrawable)
		}
		return first()
	}
}

// themeOf reads the setting; what is none comes from another version.
func themeOf(setting json.RawMessage) string {
	var theme string
	if json.Unmarshal(setting, &theme) != nil || theme != "light" && theme != "dark" {
		return ""
	}
	return theme
}

// undrawable draws nothing: the page does.
func undrawable([]byte) (none prerender.Picture) { return none }

// withOpening puts into a page what it shows first, as far as it is there soon.
func withOpening(page []byte, opening func() (opened, error)) []byte {
	ready := make(chan opened, 1)
	go func() {
		if o, err := opening(); err == nil { // else the page asks by itself, and hears why
			ready <- o
		} else {
			close(ready)
		}
	}()
	timer := time.NewTimer(openingPatience)
	defer timer.Stop()
	var o opened
	select {
	case o = <-ready:
	case <-timer.C:
	}
	if o.data == nil {
		return page
	}
	if o.theme != "" {
		page = bytes.Replace(page, unthemed, []byte(`data-theme="`+o.theme+`"`), 1)
	}
	page = bytes.Replace(page, unanswered, bytes.Replace(unanswered, []byte("null"), o.data, 1), 1)
	select {
	case picture := <-o.picture:
		return withPicture(page, picture)
	case <-timer.C:
		return page
	}
}

// withPicture puts a picture into a page. It is inert until the window's script
// has made it the window.
func withPicture(page []byte, picture prerender.Picture) []byte {
	if picture.Body == "" {
		return page
	}
	page = bytes.Replace(page, undrawn, []byte(`<div id="app" inert>`+picture.Body+`</div>`), 1)
	for _, font := range picture.Fonts {
		page = bytes.Replace(page, headEnd, []byte(`<link rel="preload" as="font" crossorigin href="`+font+`">`+string(headEnd)), 1)
	}
	return page
}

// drawing is how the window's first picture is drawn, for a page of a size.
func drawing(assets fs.FS, page prerender.View, log *slog.Logger) func(opening []byte) prerender.Picture {
	code, err := fs.ReadFile(assets, "prerender.bin")
	if err != nil || page == (prerender.View{}) {
		return undrawable
	}
	return func(opening []byte) prerender.Picture {
		picture, err := prerender.Render(code, opening, page, drawingPatience)
		if err != nil && !errors.Is(err, prerender.ErrNoPicture) {
			log.Warn("draw the first picture; the page does it", "error", err)
		}
		return picture
	}
}

// late is the window's ear before there is a window that listens. What is told
// meanwhile is not kept: a window that opens reads everything.
type late struct {
	to     atomic.Pointer[func(name string, payload any)]
	missed atomic.Bool // something was told that nobody heard
}

// Emit tells the window, if there is one.
func (l *late) Emit(name string, payload any) {
	if emit := l.to.Load(); emit != nil {
		(*emit)(name, payload)
		return
	}
	l.missed.Store(true)
	l.catchUp() // the ear may have come in between
}

// listen gives the window's ear.
func (l *late) listen(emit func(name string, payload any)) {
	l.to.Store(&emit)
	l.catchUp()
}

// catchUp tells the page to read everything anew if it has missed something
// since it got its opening.
func (l *late) catchUp() {
	emit := l.to.Load()
	if emit == nil || !l.missed.Swap(false) {
		return
	}
	(*emit)(desktop.EventState, struct{}{})
	(*emit)(desktop.EventCounts, struct{}{})
	(*emit)(desktop.EventList, desktop.ListChanged{})
}

// showPage serves the window to a browser until ctx ends.
func showPage(ctx context.Context, o options, assets fs.FS, stdout io.Writer, log *slog.Logger) error {
	ear := &late{}
	engine := &engines{open: func() (*desktop.Engine, error) { return openEngine(ctx, o, ear, nil, log) }}
	b, err := bridge.New(bridge.Config{Listen: o.bridge, Token: o.bridgeToken, Log: log,
		Target: &App{engine: engine.get, retry: engine.retry, shell: pageShell{}}, Assets: strict(http.FileServerFS(assets), assets), Files: files(engine.get)})
	if err != nil {
		return err
	}
	engine.get() // opens it before the address is said
	ear.listen(b.Emit)
	b.Start()
	fmt.Fprintln(stdout, "bridge", b.Address())
	<-ctx.Done()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(b.Close(closing), engine.get().Close())
}
