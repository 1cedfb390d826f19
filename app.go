package main

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/wailsapp/wails/v2/pkg/runtime"

	"parley/backend/chat"
	"parley/backend/desktop"
)

// App is what the window may call: its exported methods and nothing else. Each
// is one line into the engine; the last few are what only the shell can do.
// They have no doc comments of their own: desktop.Engine has them.
type App struct {
	engine func() *desktop.Engine // waits until it is open
	retry  func() error           // see engines
	shell  shell
}

// shell is what the surroundings of the window can do.
type shell interface {
	shown()
	themed(dark bool)
	openLink(url string) error
	copy(text string) error
	saveFile(name string) (path string, err error) // "" when the person thought better of it
}

func (a *App) Opening(rows int) (desktop.Opening, error)          { return a.engine().Opening(rows) }
func (a *App) State() (desktop.AppState, error)                   { return a.engine().State() }
func (a *App) Counts(brand string) (desktop.Counts, error)        { return a.engine().Counts(brand) }
func (a *App) List(q desktop.ListQuery) (desktop.ListPage, error) { return a.engine().List(q) }

func (a *App) Conversation(id string) (desktop.ConversationView, error) {
	return a.engine().Conversation(id)
}

func (a *App) Thread(id string, q desktop.ThreadQuery) (desktop.ThreadPage, error) {
	return a.engine().Thread(id, q)
}

func (a *App) Send(id string, m desktop.NewMessage) (desktop.OutboxEntry, error) {
	return a.engine().Send(id, m)
}

func (a *App) Comment(id string, c desktop.NewComment) (desktop.OutboxEntry, error) {
	return a.engine().Comment(id, c)
}

func (a *App) Resend(entry string, r desktop.Resend) (desktop.OutboxEntry, error) {
	return a.engine().Resend(entry, r)
}

func (a *App) Unsent() ([]desktop.UnsentEntry, error)         { return a.engine().Unsent() }
func (a *App) Drop(entry string) (desktop.Dropped, error)     { return a.engine().Drop(entry) }
func (a *App) MarkRead(id string, upto int64) error           { return a.engine().MarkRead(id, upto) }
func (a *App) MarkUnread(id string) error                     { return a.engine().MarkUnread(id) }
func (a *App) Resolve(id string) error                        { return a.engine().Resolve(id) }
func (a *App) Reopen(id string) error                         { return a.engine().Reopen(id) }
func (a *App) Assign(id, member string) error                 { return a.engine().Assign(id, member) }
func (a *App) Accept(id string) error                         { return a.engine().Accept(id) }
func (a *App) Release(id string) error                        { return a.engine().Release(id) }
func (a *App) SaveDraft(id string, d desktop.Draft) error     { return a.engine().SaveDraft(id, d) }
func (a *App) Typing(id string) error                         { return a.engine().Typing(id) }
func (a *App) Viewing(id string) error                        { return a.engine().Viewing(id) }
func (a *App) SignIn(in desktop.SignIn) error                 { return a.engine().SignIn(in) }
func (a *App) SignOut() error                                 { return a.engine().SignOut() }
func (a *App) SwitchAccount(id string) error                  { return a.engine().SwitchAccount(id) }
func (a *App) StartEmbedded() error                           { return a.engine().StartEmbedded() }
func (a *App) SetAside() error                                { return a.engine().SetAside() }
func (a *App) Retry() error                                   { return a.retry() }
func (a *App) PutMe(m desktop.MePut) error                    { return a.engine().PutMe(m) }
func (a *App) GetSetting(key string) (json.RawMessage, error) { return a.engine().GetSetting(key) }

func (a *App) PutSetting(key string, value json.RawMessage) error {
	return a.engine().PutSetting(key, value)
}

func (a *App) Storage() (desktop.Storage, error) { return a.engine().Storage() }

func (a *App) SetStorageLimits(l desktop.StorageLimits) error {
	return a.engine().SetStorageLimits(l)
}

func (a *App) DismissWarning(code string) error { return a.engine().DismissWarning(code) }

func (a *App) UpdateContact(contact string, f desktop.ContactFields) error {
	return a.engine().UpdateContact(contact, f)
}

// Shown says that the window can be seen.
func (a *App) Shown() { a.shell.shown() }

// Themed says whether the window is dark.
func (a *App) Themed(dark bool) { a.shell.themed(dark) }

// OpenLink opens an address outside. What a customer wrote must not start
// programs: only the web and mail.
func (a *App) OpenLink(link string) error {
	u, err := url.Parse(link)
	if err != nil || !slices.Contains([]string{"http", "https", "mailto"}, u.Scheme) {
		return chat.Invalid("url", "Only web and mail addresses can be opened.")
	}
	return a.shell.openLink(u.String())
}

// Copy puts text on the clipboard.
func (a *App) Copy(text string) error { return a.shell.copy(text) }

// SaveFile lets the person choose where to keep a copy of a file.
func (a *App) SaveFile(sha256, name string) error {
	path, err := a.shell.saveFile(filepath.Base(filepath.Clean("/" + name)))
	if err != nil || path == "" {
		return err
	}
	return a.engine().SaveFile(sha256, path)
}

// windowShell is the native window. Its context exists once Wails has started.
type windowShell struct {
	ctx    context.Context
	seen   func() // called when the window can be seen
	darken func(dark bool)
}

func (s *windowShell) shown() { s.seen() }

func (s *windowShell) themed(dark bool) { s.darken(dark) }

func (s *windowShell) openLink(url string) error {
	runtime.BrowserOpenURL(s.ctx, url)
	return nil
}

func (s *windowShell) copy(text string) error { return runtime.ClipboardSetText(s.ctx, text) }

func (s *windowShell) saveFile(name string) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	return runtime.SaveFileDialog(s.ctx, runtime.SaveDialogOptions{DefaultDirectory: home, DefaultFilename: name})
}

// pageShell is a page in a browser, which opens, copies and saves by itself.
type pageShell struct{}

func (pageShell) shown()                {}
func (pageShell) themed(bool)           {}
func (pageShell) openLink(string) error { return nil }
func (pageShell) copy(string) error     { return nil }

func (pageShell) saveFile(string) (string, error) {
	return "", chat.Errorf(chat.CodeUnsupported, "A page in the browser downloads by itself.")
}
