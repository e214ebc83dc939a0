// Package arch holds the tests that hold the house up: which room may import
// which, which rooms are pure, what the agent may link, how long a file may
// get, and whether what the documents say is still there.
//
// Every file of the module is parsed in the process. A test that asked the go
// command instead would be cached and pass while the house is on fire. Each
// check is a function from a tree to complaints, and is shown a small crooked
// tree it has to complain about, so that a check that stopped seeing is seen.
package arch
