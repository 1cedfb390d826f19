package e2e

import "fmt"

// What the window is made of, as a person or a screen reader finds it.
const (
	chatList    = `[role="listbox"]`
	chatRow     = chatList + ` [role="option"]`
	thread      = `main [role="log"]`
	replyField  = `main textarea`
	waitingMark = `main [aria-label="Waiting to go out"]`
	notices     = `[role="status"], [role="alert"]`
	shareLink   = `code`
)

// OpenParley opens the window, as it is when it has started: signed in if it was before.
func OpenParley(desk *Desk, args ...string) *Window {
	desk.t.Helper()
	w := OpenWindow(desk, Program(desk.t, "parley-devtools"), args...)
	w.Resize(1440, 900)
	w.Focus()
	return w
}

// SignIn fills in the form as a person does, by keyboard.
func SignIn(w *Window, server, email, password string) {
	w.t.Helper()
	w.Click(`input[name="server"]`, "")
	w.Keys("ctrl+a")
	w.Type(server)
	w.Keys("Tab", "ctrl+a")
	w.Type(email)
	w.Keys("Tab")
	w.Type(password)
	w.Keys("Return")
	w.WaitFor("the inbox after signing in", `document.querySelector('[data-panel="list"]')`)
}

// Open opens the chat whose row contains the text and waits for its thread to show it too.
func (w *Window) Open(text string) {
	w.t.Helper()
	w.Click(chatRow, text)
	w.WaitFor("the chat to be chosen", fmt.Sprintf(
		"[...document.querySelectorAll(%s)].some((e) => e.ariaSelected === 'true' && e.textContent.includes(%s))",
		quote(chatRow), quote(text)))
	w.Shows(thread, text)
}

// Reply writes into the open chat with real keys and sends with Enter. It returns when the text stands in the thread
// and the field is empty, which is when it is safe on disk.
func (w *Window) Reply(text string) {
	w.t.Helper()
	w.Click(replyField, "")
	w.Type(text)
	w.WaitFor("the text in the field", "document.querySelector("+quote(replyField)+").value === "+quote(text))
	w.Keys("Return")
	w.Shows(thread, text)
	w.WaitFor("an empty field", "document.querySelector("+quote(replyField)+").value === ''")
}

// Times is how often the text stands in the thread.
func (w *Window) Times(text string) int {
	w.t.Helper()
	var n int
	w.Eval(fmt.Sprintf("document.querySelector(%s).innerText.split(%s).length - 1", quote(thread), quote(text)), &n)
	return n
}

// Portrait keeps pictures of what the window shows, light and dark, at the usual size and at a small one, and leaves
// the window as it was.
func (w *Window) Portrait(name string) {
	w.t.Helper()
	var before string
	w.Eval("document.documentElement.dataset.theme ?? ''", &before)
	for _, size := range [][2]int{{1024, 700}, {1440, 900}} {
		w.Resize(size[0], size[1])
		for _, theme := range []string{"light", "dark"} {
			w.Eval("document.documentElement.dataset.theme = "+quote(theme), nil)
			w.Snapshot(fmt.Sprintf("%s-%s-%dx%d", name, theme, size[0], size[1]))
		}
	}
	w.Eval("document.documentElement.dataset.theme = "+quote(before), nil)
}
