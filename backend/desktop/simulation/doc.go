// Package simulation holds the desktop to its promises in a world that breaks
// all the time. It is tests only.
//
// What runs is the real engine with its real databases and the real HTTP and
// WebSocket, several of them, in virtual time (testing/synctest). What is made
// up is the rest of the world: a server in memory that keeps the contract
// (server_test.go), the network between (wire_test.go), people who write
// (desk_test.go) and customers with their widgets (visitor_test.go), and
// everything that goes wrong: lines that are cut, that go
// silent or get slow, requests that arrive twice or late, disks that fail,
// programs that are killed between two writes, servers that restart, logs that
// are trimmed, access that is taken away and given back (world_test.go). One
// number, the seed, decides about all of it.
//
// A schedule (one seed) is wrong if a promise is broken at any moment or once
// everything is whole again (promises_test.go). Mutants (mutants_test.go) are
// deliberate bugs, each of which must be caught: a simulation that finds
// nothing wrong proves something only if it finds what is wrong.
package simulation
