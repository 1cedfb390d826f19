//go:build unix

package cache

import (
	"syscall"
	"time"
)

// cpuTime is what this process has had of the processors so far. Unlike the
// clock on the wall it says little of what else the machine does.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
