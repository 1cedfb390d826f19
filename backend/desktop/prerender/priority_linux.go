package prerender

import "syscall"

// giveWay gives this thread the lowest priority; on Linux, setpriority(2) is of
// a thread. The picture would only be ready sooner than it is asked for, and
// the webview that asks for it later.
func giveWay() { _ = syscall.Setpriority(syscall.PRIO_PROCESS, syscall.Gettid(), 19) }
