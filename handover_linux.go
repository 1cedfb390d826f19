package main

import (
	"context"
	"encoding/json"
	"os"
	"time"

	"github.com/godbus/dbus/v5"
	wailsoptions "github.com/wailsapp/wails/v2/pkg/options"
)

// handOverPatience is how long the program that runs may take to answer.
const handOverPatience = 5 * time.Second

// singleInstance is the name, the path and the interface that Wails gives the
// lock with an id on the session bus.
func singleInstance(id string) (name string, path dbus.ObjectPath) {
	return "org.wails_app_" + id + ".SingleInstance", dbus.ObjectPath("/org/wails_app_" + id + "/SingleInstance")
}

// handOver asks the program that has the lock with this id to show its window,
// and reports whether it will. Wails asks the same by itself, but only after
// everything has been opened, and then ends the program as if it had failed.
// Where nobody can be asked it still has the last word.
func handOver(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, handOverPatience)
	defer cancel()
	bus, err := dbus.ConnectSessionBus(dbus.WithContext(ctx))
	if err != nil {
		return false
	}
	defer func() { _ = bus.Close() }() // the answer is there, or will not come
	folder, err := os.Getwd()
	if err != nil {
		return false
	}
	message, err := json.Marshal(wailsoptions.SecondInstanceData{Args: os.Args[1:], WorkingDirectory: folder})
	if err != nil {
		return false
	}
	name, path := singleInstance(id)
	return bus.Object(name, path).CallWithContext(ctx, name+".SendMessage", dbus.FlagNoAutoStart, string(message)).Err == nil
}
