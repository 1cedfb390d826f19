//go:build !linux

package prerender

// giveWay does nothing: here a thread's priority is not this simply its own.
func giveWay() {}
