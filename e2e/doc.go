// Package e2e puts the real things together: the native window on a screen of its own, parleyd as a process, Chromium
// as the customer, and a network between them that a test can cut. Nothing in it is a stand-in for anything of ours,
// so what a test of this package sees is what a person would see.
//
// The parts are small and know nothing of each other; a test chooses those it needs:
//
//   - Desk: a private desktop session (message bus, screen, window manager, notifications, keyring, home folder).
//   - Window: the program's window on a desk. Read and judged through WebKit's inspector, moved by real keys and a
//     real mouse, photographed.
//   - Customer: Chromium on a share-link page.
//   - Server: parleyd with a data folder, which can be stopped, killed and started again.
//   - Proxy: the network between a window and a server, which can be cut, stalled and restored.
//
// Everything a test starts ends with the test, also when the test is killed. Nothing sleeps: a test waits for what
// it wants to see, and says what that was when it does not come.
//
// Run `make desktop-devtools server` before the tests, or `make test`, which does so.
package e2e
