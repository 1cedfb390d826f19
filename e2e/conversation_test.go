package e2e

import "testing"

// TestConversation is the main job, from end to end: a customer writes, the agent sees it at once and answers, loses
// the network, goes on reading and writing, the program is killed, comes back, and everything goes out exactly once.
func TestConversation(t *testing.T) {
	server := NewServer(t)
	network := NewProxy(t, server.Addr())
	desk := NewDesk(t)
	args := []string{"--server", network.URL()}

	window := OpenParley(desk, args...)
	window.Portrait("1-sign-in")
	SignIn(window, network.URL(), ownerEmail, ownerPassword)
	window.Shows(notices, "Up to date")
	window.Portrait("2-empty-inbox")

	customer := NewCustomer(t, server.SharePage())
	customer.Say("Hi, where is my parcel 4711?")
	window.Shows(chatRow, "parcel 4711")
	window.Shows(chatRow, "1 unread")
	other := NewCustomer(t, server.SharePage())
	other.Say("Do you ship to Norway?")
	window.Shows(chatRow, "Norway")
	window.Portrait("3-customers-wrote")

	window.Open("parcel 4711")
	window.Reply("It left the depot this morning.")
	customer.Sees("It left the depot this morning.")
	window.WaitFor("the answer to be confirmed", "!document.querySelector("+quote(waitingMark)+")")
	customer.Say("Wonderful, thank you!")
	window.Shows(thread, "Wonderful, thank you!")
	window.Portrait("4-answered")
	customer.Photograph("4-answered-customer")

	network.Cut()
	window.Shows(notices, "You are offline since")
	window.Open("Norway")
	window.Open("Wonderful")
	window.Reply("We will call you at noon.")
	window.WaitFor("the mark of a message that waits", "document.querySelector("+quote(waitingMark)+")")
	window.Shows("body", "1 message waits to go out")
	window.Portrait("5-offline")
	desk.Photograph("5-offline-screen")
	window.Kill()

	window = OpenParley(desk, args...)
	window.WaitFor("the first picture to have come with the page", "performance.getEntriesByName('picture').length === 1")
	window.Shows(notices, "You are offline")
	window.Open("Wonderful")
	window.Shows(thread, "We will call you at noon.")
	if n := window.Times("We will call you at noon."); n != 1 {
		t.Errorf("after kill -9 the waiting message stands %d times in the thread, want once", n)
	}
	window.WaitFor("the mark of a message that waits, after kill -9", "document.querySelector("+quote(waitingMark)+")")
	other.Say("Are you there?")
	window.Portrait("6-restarted-offline")

	network.Restore()
	customer.Sees("We will call you at noon.")
	window.WaitFor("the waiting message to be confirmed", "!document.querySelector("+quote(waitingMark)+")")
	window.Shows(chatRow, "Are you there?")
	window.Lacks(notices, "You are offline")
	window.Portrait("7-back-online")

	deliveredOnce(t, "We will call you at noon.", server, window, customer)
	window.Close()
}

// deliveredOnce counts a message everywhere it may be seen.
func deliveredOnce(t *testing.T, text string, server *Server, window *Window, customer *Customer) {
	t.Helper()
	if n := window.Times(text); n != 1 {
		t.Errorf("it stands %d times in the agent's window, want once", n)
	}
	customer.Reload()
	customer.Sees(text)
	if n := customer.SeesTimes(text); n != 1 {
		t.Errorf("it stands %d times on the customer's page, want once", n)
	}
	if texts := server.Texts(); count(texts, text) != 1 {
		t.Errorf("the server has it %d times, want once: %q", count(texts, text), texts)
	}
}

// TestEmbedded is the first minute of somebody who has only this program: no flags, no server, no account. The window
// shows an address; a customer writes there; the answer arrives.
func TestEmbedded(t *testing.T) {
	desk := NewDesk(t)
	window := OpenParley(desk)
	window.Shows(shareLink, "/c/")
	window.Portrait("embedded-first-start")

	customer := NewCustomer(t, window.Text(shareLink))
	customer.Say("Hello from the same computer")
	window.Shows(chatRow, "Hello from the same computer")
	window.Open("Hello from the same computer")
	window.Reply("Hello back")
	customer.Sees("Hello back")
	customer.ExpectErrors("ERR_CONNECTION_REFUSED") // while the program, and the server in it, is away
	window.Close()

	window = OpenParley(desk)
	window.Open("Hello back")
	customer.Say("Still there after a restart?")
	window.Shows(thread, "Still there after a restart?")
	window.Close()
}

// count is how often the text is in the list.
func count(list []string, text string) int {
	n := 0
	for _, each := range list {
		if each == text {
			n++
		}
	}
	return n
}
