// Package build runs a build and says in which environment it ran.
//
// [Run] starts the command of a build under strace, which records every file
// it opens and every program it runs. From that record comes everything:
//
//   - The toolchain is the compiler driver, assembler and linker that ran,
//     by the digests of their files (toolchain.go).
//   - The flags are the arguments somebody typed, in order, without program,
//     input files and output (flags.go).
//   - The libraries are what the link resolved: each library the output needs,
//     matched to the file the linker opened (elf.go).
//   - The builder image holds every file the build opened or ran outside its
//     source tree (pack.go, layout.go); a file outside it is an error.
//   - The source is what the build read inside its source tree.
//
// Nothing is guessed: what cannot be told is an error, because an environment
// that misses something would let a patch fit where it does not. The build
// gets a small environment of its own (docs/spec/cli.md, env capture), so that
// no variable of whoever runs it becomes a flag nobody recorded.
//
// The build is watched, not contained: provenance made from a [Capture] says
// so. One compiler family is known, gcc; any other is refused by name.
package build
