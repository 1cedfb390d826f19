package e2e

import "testing"

// TestServerKilled shows that a customer loses nothing when the server dies: what was said before is there, what is
// said meanwhile waits on the page, and all of it stands once on the server afterwards.
func TestServerKilled(t *testing.T) {
	server := NewServer(t)
	customer := NewCustomer(t, server.SharePage())
	customer.Say("before")
	Until(t, "the first message on the server", func() bool { return count(server.Texts(), "before") == 1 })

	customer.ExpectErrors("ERR_CONNECTION_REFUSED")
	server.Kill()
	customer.Say("meanwhile")
	server.Start()
	Until(t, "the waiting message on the server", func() bool { return count(server.Texts(), "meanwhile") > 0 })

	customer.Reload()
	for _, text := range []string{"before", "meanwhile"} {
		customer.Sees(text)
		if n := customer.SeesTimes(text); n != 1 {
			t.Errorf("%q stands %d times on the page, want once", text, n)
		}
		if texts := server.Texts(); count(texts, text) != 1 {
			t.Errorf("the server has %q %d times, want once: %q", text, count(texts, text), texts)
		}
	}
	server.Stop()
}
