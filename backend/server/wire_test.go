package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"parley/backend/chat"
	"parley/backend/protocol"
	"parley/backend/server"
)

// wireDir holds one file for each shape that goes over the wire. What changes
// there changes for other programs.
var wireDir = filepath.Join("testdata", "wire")

// exchange is what one such file holds: a request and its answer, one frame of
// a socket, or how a socket was closed.
type exchange struct {
	Request *wireRequest    `json:"request,omitempty"`
	Answer  *wireAnswer     `json:"answer,omitempty"`
	Socket  string          `json:"socket,omitempty"` // its path
	From    string          `json:"from,omitempty"`   // "client", "server"
	Frame   json.RawMessage `json:"frame,omitempty"`
	Close   *wireClose      `json:"close,omitempty"`
}

type wireRequest struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"` // with the query
	Headers map[string]string `json:"headers,omitempty"`
	wireBody
}

type wireAnswer struct {
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers,omitempty"`
	wireBody
}

// wireBody is content in the form that says most about it.
type wireBody struct {
	Type  string            `json:"type,omitempty"` // of an answer: its Content-Type
	Body  json.RawMessage   `json:"body,omitempty"`
	Lines []json.RawMessage `json:"lines,omitempty"` // of NDJSON
	Text  string            `json:"text,omitempty"`
	Bytes int               `json:"bytes,omitempty"` // how many, where they say nothing to a reader
}

func (b wireBody) empty() bool {
	return b.Body == nil && b.Lines == nil && b.Text == "" && b.Bytes == 0
}

type wireClose struct {
	Code   int    `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// TestWireShapes keeps what other programs read and write, to the letter, and
// the same from each database where it comes out of one. -update writes what
// the server on SQLite does.
func TestWireShapes(t *testing.T) {
	for _, topic := range []struct {
		name string
		run  func(*wire, server.Config)
		both bool
	}{
		{"setup", wireSetup, false}, {"sessions", wireSessions, false}, {"members", wireMembers, false},
		{"commands", wireCommands, true}, {"refused", wireRefused, true},
		{"reading", wireReading, true}, {"log", wireLog, true}, {"imported", wireImported, true},
		{"files", wireFiles, false}, {"visitor", wireVisitor, true},
		{"live", wireLive, false}, {"visitor_live", wireVisitorLive, false}, {"beats", wireBeats, false},
		{"closing", wireClosing, false}, {"slow", wireSlow, false},
		{"problems", wireProblems, false}, {"pages", wirePages, false},
	} {
		t.Run(topic.name, func(t *testing.T) {
			t.Run("sqlite", func(t *testing.T) {
				w := newWire(t, topic.name)
				w.update = *update
				topic.run(w, onSQLite(t))
				w.nothingElse()
			})
			if topic.both {
				t.Run("postgres", func(t *testing.T) { topic.run(newWire(t, topic.name), onPostgres(t)) })
			}
		})
	}
}

// wire is a rig whose requests and frames are kept in golden files.
type wire struct {
	*rig
	t      *testing.T
	dir    string
	update bool
	kept   map[string]bool
	hidden []string // old, new, …: what differs from run to run and has no form to know it by
}

func newWire(t *testing.T, topic string) *wire {
	return &wire{t: t, dir: filepath.Join(wireDir, topic), kept: map[string]bool{}}
}

// start starts the topic's server, with a workspace.
func (w *wire) start(c server.Config) {
	w.rig = newRig(w.t, c)
	w.hideChannel(w.created.Channel)
}

func (w *wire) hideChannel(c protocol.CreatedChannel) {
	w.hidden = append(w.hidden, c.Key, "pk_key", c.Slug, "slug")
}

// ask makes a request and keeps it with its answer.
func (w *wire) ask(name, method, path, token string, body any, headers ...string) answer {
	w.Helper()
	x, a := w.exchange(method, path, token, body, headers...)
	w.keep(name, x)
	return a
}

// read asks for something that a member reads.
func (w *wire) read(name, path string) answer {
	w.Helper()
	return w.ask(name, http.MethodGet, path, w.owner.Token, nil)
}

// command hands one command in.
func (w *wire) command(name, token string, c chat.Command) protocol.Result {
	w.Helper()
	var out protocol.Results
	w.ask(name, http.MethodPost, "/v1/commands", token, protocol.Commands{Commands: []chat.Command{c}}).into(w, &out)
	if len(out.Results) != 1 {
		w.Fatalf("%s: %d results", name, len(out.Results))
	}
	return out.Results[0]
}

// done hands one command in that is carried out.
func (w *wire) done(name, kind string, args any) protocol.Result {
	w.Helper()
	res := w.command(name, w.owner.Token, cmd(kind, args))
	if res.Status != protocol.StatusApplied {
		w.Errorf("%s: %+v", name, res.Problem)
	}
	return res
}

// refusal hands one command in that is refused with a code.
func (w *wire) refusal(name, token string, c chat.Command, code chat.Code) {
	w.Helper()
	if res := w.command(name, token, c); res.Problem == nil || res.Problem.Code != code {
		w.Errorf("%s: %s %+v, want %s", name, res.Status, res.Problem, code)
	}
}

// problem makes a request that is answered with a code.
func (w *wire) problem(name string, code chat.Code, method, path, token string, body any, headers ...string) {
	w.Helper()
	if p := w.ask(name, method, path, token, body, headers...).problem(w); p.Code != code {
		w.Errorf("%s: %+v, want %s", name, p, code)
	}
}

// told are the headers of an answer that its readers act on.
var told = []string{"Allow", "Content-Disposition", "Content-Range", "Location", "Range", "Retry-After", "WWW-Authenticate"}

func (w *wire) exchange(method, path, token string, body any, headers ...string) (exchange, answer) {
	w.Helper()
	a := w.do(method, path, token, body, headers...)
	x := exchange{Request: &wireRequest{Method: method, Path: path, Headers: map[string]string{}},
		Answer: &wireAnswer{Status: a.status, Headers: map[string]string{}, wireBody: bodyOf(a.header.Get("Content-Type"), a.body)}}
	switch {
	case strings.HasPrefix(token, "Visitor "):
		x.Request.Headers["Authorization"] = "Visitor …"
	case token != "":
		x.Request.Headers["Authorization"] = "Bearer …"
	}
	for i := 0; i+1 < len(headers); i += 2 {
		x.Request.Headers[headers[i]] = headers[i+1]
	}
	switch b := body.(type) {
	case nil:
	case []byte:
		x.Request.wireBody = bodyOf("", b)
	case string:
		x.Request.Text = b
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			w.Fatal(err)
		}
		x.Request.Body = raw
	}
	for _, h := range told {
		if v := a.header.Get(h); v != "" {
			x.Answer.Headers[h] = v
		}
	}
	return x, a
}

func bodyOf(kind string, b []byte) wireBody {
	out := wireBody{Type: kind}
	media, _, _ := mime.ParseMediaType(kind)
	switch {
	case len(b) == 0:
	case media == "application/x-ndjson":
		for line := range bytes.Lines(b) {
			out.Lines = append(out.Lines, bytes.TrimSpace(line))
		}
	case strings.HasSuffix(media, "json") && json.Valid(b):
		out.Body = bytes.TrimSpace(b)
	case strings.HasPrefix(media, "text/") && utf8.Valid(b):
		out.Text = string(b)
	default:
		out.Bytes = len(b)
	}
	return out
}

// keep compares an exchange with its file, or writes that.
func (w *wire) keep(name string, x exchange) {
	w.t.Helper()
	file := name + ".json"
	if w.kept[file] {
		w.t.Fatalf("%s is kept twice", name)
	}
	w.kept[file] = true
	got, err := w.file(x)
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	if w.update {
		write(w.t, filepath.Join(w.dir, file), got)
		return
	}
	same(w.t, filepath.Join(w.dir, file), got)
}

// file is an exchange as it stands in its file. Lines stay lines.
func (w *wire) file(x exchange) ([]byte, error) {
	var lines []json.RawMessage
	if x.Answer != nil {
		plain := *x.Answer
		lines, plain.Lines = plain.Lines, nil
		for i := range lines {
			plain.Lines = append(plain.Lines, fmt.Appendf(nil, `"@%d@"`, i))
		}
		x.Answer = &plain
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(x); err != nil {
		return nil, err
	}
	b := out.Bytes()
	for i, line := range lines {
		b = bytes.Replace(b, fmt.Appendf(nil, `"@%d@"`, i), line, 1)
	}
	return newNames().replace([]byte(strings.NewReplacer(w.hidden...).Replace(string(b)))), nil
}

// nothingElse fails for files that nobody keeps any more.
func (w *wire) nothingElse() {
	w.t.Helper()
	entries, err := os.ReadDir(w.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		file := filepath.Join(w.dir, e.Name())
		switch {
		case w.kept[e.Name()]:
		case w.update:
			if err := os.Remove(file); err != nil {
				w.t.Error(err)
			}
		default:
			w.t.Errorf("%s is of nothing that the test keeps", file)
		}
	}
}
