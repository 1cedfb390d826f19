//go:build !linux

package main

import "context"

// handOver is left to Wails on other systems.
func handOver(context.Context, string) bool { return false }
