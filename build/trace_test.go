package build

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// recorded are lines as strace 6.1 wrote them, shortened.
const recorded = `100 execve("/usr/bin/make", ["make", "-j2"], 0x7ffe8dd1d1f0 /* 35 vars */) = 0
100 openat(AT_FDCWD</src>, "/etc/ld.so.cache", O_RDONLY|O_CLOEXEC) = 3</etc/ld.so.cache>
100 openat(AT_FDCWD</src>, "nothing", O_RDONLY) = -1 ENOENT (No such file or directory)
101 execve("/bin/sh", ["/bin/sh", "-c", "cd 'a <b>' && gcc -D'X=\"1\"' x.c"], 0x564c791edd60 /* 40 vars */ <unfinished ...>
100 openat(AT_FDCWD</src>, "Makefile", O_RDONLY <unfinished ...>
101 <... execve resumed>)               = 0
100 <... openat resumed>)               = 4</src/Makefile>
101 chdir("/src/a <b>")                 = 0
102 execve("/usr/bin/gcc", ["gcc", "x.c"], 0x560df3470e78 /* 40 vars */) = 0
102 openat(AT_FDCWD</src/a \74b\76>, "/tmp/cc1.s", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</tmp/cc1.s>
102 openat(AT_FDCWD</src/a \74b\76>, "../x\n\"\303\251", O_RDONLY|O_NOCTTY) = 3</src/x\n\"\303\251>
102 +++ exited with 0 +++
101 --- SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=102, si_uid=0, si_status=0, si_utime=0, si_stime=3 /* 0.03 s */} ---
103 execve("./tool", ["./tool"], 0x56125e852b28 /* 40 vars */) = 0
103 openat(AT_FDCWD</src/sub>, "/proc/self/fd/0", O_RDONLY) = 3<pipe:[123]>
103 openat(3</src/sub>, "f", O_RDONLY) = 4</src/sub/f>(deleted)
103 openat2(AT_FDCWD</src/sub>, "g", {flags=O_RDONLY|O_CLOEXEC, resolve=RESOLVE_BENEATH}, 24) = 4</src/sub/g>
103 creat("/tmp/h", 0644)               = 4</tmp/h>
103 open("rel", O_WRONLY|O_APPEND)      = 4</src/sub/rel>
103 fchdir(3</src>)                     = 0
103 open("dir", O_RDONLY|O_DIRECTORY)   = 4</src/dir>
104 execveat(5</src/bin/t>, "", ["t"], 0x1 /* 1 var */, AT_EMPTY_PATH) = 0
105 execve("/bin/x", ["x"], 0x1 /* 1 var */ <pid changed to 104 ...>
105 +++ superseded by execve in pid 104 +++
104 <... execve resumed>)               = 0
104 openat(AT_FDCWD</src>, "/x", O_RDONLY) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)
104 strace: [ Process PID=104 runs in 32 bit mode. ]
104 +++ killed by SIGKILL +++
`

func events(s string) ([]string, error) {
	var list []string
	err := parseTrace(strings.NewReader(s), func(e event) error {
		word := "open"
		switch {
		case e.exec:
			word = "exec " + strings.Join(e.args, " ")
		case e.fresh:
			word = "make"
		case e.read:
			word = "read"
		}
		list = append(list, fmt.Sprintf("%d %s %s %s", e.pid, word, e.path, e.real))
		return nil
	})
	return list, err
}

func TestParseTrace(t *testing.T) {
	got, err := events(recorded)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"100 exec make -j2 /usr/bin/make ",
		"100 read /etc/ld.so.cache /etc/ld.so.cache",
		`101 exec /bin/sh -c cd 'a <b>' && gcc -D'X="1"' x.c /bin/sh `,
		"100 read /src/Makefile /src/Makefile",
		"102 exec gcc x.c /usr/bin/gcc ",
		"102 make /tmp/cc1.s /tmp/cc1.s",
		"102 read /src/a <b>/../x\n\"é /src/x\n\"é",
		"103 exec ./tool /src/sub/./tool ",
		"103 read /src/sub/f /src/sub/f",
		"103 read /src/sub/g /src/sub/g",
		"103 make /tmp/h /tmp/h",
		"103 open /src/sub/rel /src/sub/rel",
		"103 read /src/dir /src/dir",
		"104 exec t /src/bin/t ",
		"104 exec x /bin/x ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestParseTraceRefusesWhatItCannotTell(t *testing.T) {
	for name, line := range map[string]string{
		"no process id":          `openat(AT_FDCWD</x>, "a", O_RDONLY) = 3</x/a>`,
		"text cut short":         `1 openat(AT_FDCWD</x>, "abc"..., O_RDONLY) = 3</x/abc>`,
		"arguments cut short":    `1 execve("/bin/x", ["a", ...], 0x1 /* 1 var */) = 0`,
		"pointer for a path":     `1 openat(AT_FDCWD</x>, 0x7fff, O_RDONLY) = 3</x/a>`,
		"pointer for arguments":  `1 execve("/bin/x", 0x7fff, 0x1 /* 1 var */) = 0`,
		"unknown directory":      `1 openat(7, "a", O_RDONLY) = 3</x/a>`,
		"never began":            `1 <... openat resumed>) = 3</x>`,
		"other call":             `1 read(3</x>, "a", 1) = 1`,
		"no result":              `1 openat(AT_FDCWD</x>, "a", O_RDONLY)`,
		"result is no number":    `1 openat(AT_FDCWD</x>, "a", O_RDONLY) = what</x/a>`,
		"no access mode":         `1 openat(AT_FDCWD</x>, "a", 0x3|O_CREAT) = 3</x/a>`,
		"too few arguments":      `1 openat(AT_FDCWD</x>, "a") = 3</x/a>`,
		"strange escape":         `1 openat(AT_FDCWD</x>, "\q", O_RDONLY) = 3</x/a>`,
		"escape is no byte":      `1 openat(AT_FDCWD</x>, "\777", O_RDONLY) = 3</x/a>`,
		"open end":               `1 openat(AT_FDCWD</x>, "a`,
		"relative, then moved":   "1 execve(\"./t\", [\"t\"], 0x1 /* 1 var */) = 0\n1 chdir(\"/y\") = 0",
		"relative, then ended":   "1 execve(\"./t\", [\"t\"], 0x1 /* 1 var */) = 0\n1 +++ exited with 0 +++",
		"relative, never placed": `1 execve("./t", ["t"], 0x1 /* 1 var */) = 0`,
		"not a call":             `1 what`,
		"relative directory":     `1 openat(AT_FDCWD<x>, "a", O_RDONLY) = 3</x/a>`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := events(line + "\n"); err == nil {
				t.Errorf("accepted as %q", got)
			}
		})
	}
}

func TestRecordTellsInputsFromWhatTheBuildMade(t *testing.T) {
	r := newRecord("/src")
	trace := `1 execve("/usr/bin/gcc", ["gcc"], 0x1 /* 1 var */) = 0
1 openat(AT_FDCWD</src>, "x.c", O_RDONLY) = 3</src/x.c>
1 openat(AT_FDCWD</src>, "/tmp/a.s", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</tmp/a.s>
1 openat(AT_FDCWD</src>, "/tmp/a.s", O_RDONLY) = 3</tmp/a.s>
1 openat(AT_FDCWD</src>, "/proc/meminfo", O_RDONLY) = 3</proc/meminfo>
1 openat(AT_FDCWD</src>, "/lib/h.h", O_RDONLY) = 3</usr/lib/h.h>
1 openat(AT_FDCWD</src>, "/lib/h.h", O_RDONLY) = 3</usr/lib/h.h>
1 openat(AT_FDCWD</src>, "/var/log", O_WRONLY|O_APPEND) = 3</var/log>
1 openat(AT_FDCWD</src>, "/srcs/y.h", O_RDONLY) = 3</srcs/y.h>
2 execve("/usr/bin/ld", ["ld"], 0x1 /* 1 var */) = 0
2 openat(AT_FDCWD</src>, "out", O_RDWR|O_CREAT|O_TRUNC, 0666) = 3</src/out>
2 openat(AT_FDCWD</src>, "/lib/libc.so", O_RDONLY) = 3</usr/lib/libc.so>
`
	if err := parseTrace(strings.NewReader(trace), r.add); err != nil {
		t.Fatal(err)
	}
	paths := func(list []input) (all []string) {
		for _, in := range list {
			all = append(all, in.path)
		}
		return all
	}
	if diff := cmp.Diff([]string{"/usr/bin/gcc", "/lib/h.h", "/srcs/y.h", "/usr/bin/ld", "/lib/libc.so"}, paths(r.inputs)); diff != "" {
		t.Errorf("inputs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"/src/x.c"}, paths(r.sources)); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
	want := []opened{{"/src/out", true}, {"/usr/lib/libc.so", false}}
	if diff := cmp.Diff(want, r.runs[1].opened, cmp.AllowUnexported(opened{})); diff != "" {
		t.Errorf("opened by the linker (-want +got):\n%s", diff)
	}
}

// quoteTrace writes s as strace does.
func quoteTrace(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c < ' ' || c > '~' || c == '<' || c == '>':
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// FuzzParseTrace: whatever is accepted has absolute paths, and written again
// as strace writes it, reads the same.
func FuzzParseTrace(f *testing.F) {
	f.Add(recorded)
	for _, line := range strings.Split(recorded, "\n") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var first []event
		if err := parseTrace(strings.NewReader(s), func(e event) error { first = append(first, e); return nil }); err != nil {
			return
		}
		var again strings.Builder
		for _, e := range first {
			if !strings.HasPrefix(e.path, "/") || !e.exec && !strings.HasPrefix(e.real, "/") {
				t.Fatalf("event without an absolute path: %+v", e)
			}
			again.WriteString(line(e))
		}
		var second []event
		if err := parseTrace(strings.NewReader(again.String()), func(e event) error { second = append(second, e); return nil }); err != nil {
			t.Fatalf("reading again:\n%s\n%v", again.String(), err)
		}
		if diff := cmp.Diff(first, second, cmp.AllowUnexported(event{})); diff != "" {
			t.Fatalf("read again (-first +second):\n%s", diff)
		}
	})
}

func line(e event) string {
	if e.exec {
		var args []string
		for _, a := range e.args {
			args = append(args, `"`+quoteTrace(a)+`"`)
		}
		return fmt.Sprintf("%d execve(\"%s\", [%s], 0x1 /* 1 var */) = 0\n", e.pid, quoteTrace(e.path), strings.Join(args, ", "))
	}
	flags := "O_WRONLY"
	switch {
	case e.fresh:
		flags = "O_RDWR|O_CREAT|O_TRUNC"
	case e.read:
		flags = "O_RDONLY"
	}
	return fmt.Sprintf("%d openat(AT_FDCWD</>, \"%s\", %s) = 3<%s>\n", e.pid, quoteTrace(e.path), flags, quoteTrace(e.real))
}
