package sandboxtest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What the payload ends with.
const (
	fine     = 0
	confused = 99
)

// payload does, inside, what its first argument says.
func payload(args []string) int {
	if len(args) == 0 {
		return confused
	}
	do, ok := duties[args[0]]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such payload:", args)
		return confused
	}
	if err := do(args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return confused
	}
	return fine
}

// duties are what a build may do, and too much of it.
var duties = map[string]func(args []string) error{
	"exit":   func([]string) error { return nil },
	"code":   func(args []string) error { return exitWith(args[0]) },
	"signal": func([]string) error { return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGTERM), sleep(nil)) },
	"attack": attack,
	"world":  world,
	"write":  func(args []string) error { return os.WriteFile(args[0], []byte("made inside\n"), 0o666) },
	"modes":  modes,
	"run": func(args []string) error { // runs one after the other what stands between commas
		for line := range strings.SplitSeq(strings.Join(args, " "), " , ") {
			fields := strings.Fields(line)
			if err := exec.Command(fields[0], fields[1:]...).Run(); err != nil {
				return err
			}
		}
		return nil
	},
	"chain": func(args []string) error { return syscall.Exec(args[0], args, os.Environ()) },
	"burst": func(args []string) error { // runs a program n times
		n, err := strconv.Atoi(args[0])
		for ; err == nil && n > 0; n-- {
			err = exec.Command("/bin/payload", "exit").Run()
		}
		return err
	},
	"pause":  pause,
	"sleep":  sleep,
	"daemon": daemon,
	"beat":   beat,
	"say":    func(args []string) error { _, err := fmt.Print(args[0]); return err },
	"spin":   func([]string) error { return busy(time.Hour) },
	"spins": func([]string) error { // processor time of many, none of which uses much
		for {
			if err := exec.Command("/bin/payload", "short").Run(); err != nil {
				return err
			}
		}
	},
	"short":      func([]string) error { return busy(100 * time.Millisecond) },
	"shout":      shout,
	"hog":        hog,
	"hogs":       func([]string) error { return several(4, "hog") },
	"fill-tmp":   func([]string) error { return fill("/tmp/file", 1<<20, 1<<30) },
	"fork":       forkBomb,
	"thread":     threads,
	"fill":       func([]string) error { return fill("/build/file", 1<<20, 10<<30) },
	"fill-many":  fillMany,
	"fill-names": fillNames,
	"sparse": func([]string) error {
		return errors.Join(os.WriteFile("/build/f", nil, 0o666), os.Truncate("/build/f", 10<<30))
	},
	"held": held,
	"hide": hide,
}

func exitWith(code string) error {
	n, err := strconv.Atoi(code)
	if err == nil {
		syscall.Exit(n)
	}
	return err
}

// pause stops a child and lets it go on, which a tracer must not get in the way of.
func pause([]string) error {
	cmd := exec.Command("/bin/payload", "sleep")
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		return fmt.Errorf("it did not stop: %v, %w", status, err)
	}
	time.Sleep(20 * time.Millisecond)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.ToUpper(string(stat)), ") T ") {
		return fmt.Errorf("it does not stay stopped: %s, %w", stat, err)
	}
	return errors.Join(cmd.Process.Signal(syscall.SIGCONT), cmd.Process.Kill())
}

func busy(d time.Duration) error {
	for began := time.Now(); time.Since(began) < d; {
	}
	return nil
}

func sleep([]string) error { time.Sleep(time.Hour); return nil }

// world says what a job sees.
func world([]string) error {
	host, err := os.Hostname()
	dir, err2 := os.Getwd()
	in, err3 := io.ReadAll(os.Stdin)
	mask := syscall.Umask(0)
	fmt.Printf("uid %d gid %d groups %v\nhost %s\ndir %s\nstdin %q\numask %#o\n", os.Getuid(), os.Getgid(), groups(), host, dir, in, mask)
	fmt.Println("env", os.Environ())
	open, err4 := openFiles()
	fmt.Println("files", open)
	dev, err5 := names("/dev")
	fmt.Println("dev", dev)
	tmp, err6 := names("/tmp")
	fmt.Println("tmp", tmp)
	root, err7 := names("/")
	fmt.Println("root", root)
	sid, err8 := syscall.Getpgid(0)
	fmt.Println("leads its group", sid == os.Getpid())
	return errors.Join(err, err2, err3, err4, err5, err6, err7, err8)
}

// openFiles are the files this process was given besides its streams, and not
// made by Go's own doing.
func openFiles() (given []string, err error) {
	fds, err := names("/proc/self/fd")
	for _, fd := range fds {
		target, err := os.Readlink("/proc/self/fd/" + fd)
		if err == nil && fd > "2" && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/proc/") {
			given = append(given, target)
		}
	}
	return given, err
}

func groups() []int {
	g, _ := os.Getgroups()
	// Only root can leave the caller's groups behind; others show as nobody's.
	return slices.DeleteFunc(g, func(id int) bool { return id == nobody })
}

func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all, err
}

// modes leaves files that a caller without rights might not get at.
func modes([]string) error {
	return errors.Join(
		os.Mkdir("/build/closed", 0o777),
		os.WriteFile("/build/closed/file", []byte("made inside\n"), 0),
		os.Chmod("/build/closed", 0),
		os.WriteFile("/build/exe", nil, 0o777),
	)
}

// daemon leaves a process running that holds stdout and writes on.
func daemon([]string) error {
	cmd := exec.Command("/bin/payload", "beat")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if b, _ := os.ReadFile("/build/beat"); len(b) > 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the daemon did not begin")
}

func beat([]string) error {
	for n := 0; ; n++ {
		if err := os.WriteFile("/build/beat", []byte(strconv.Itoa(n)), 0o666); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func shout([]string) error {
	buf := make([]byte, 1<<20)
	for range 10 << 10 {
		if _, err := os.Stdout.Write(buf); err != nil {
			return err
		}
	}
	return nil
}

// hog takes memory until it is stopped.
func hog([]string) error {
	var all [][]byte
	for len(all) < 4<<10 {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		all = append(all, b)
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("took %d MiB", len(all))
}

// several runs n payloads at once.
func several(n int, args ...string) error {
	var all []*exec.Cmd
	for range n {
		cmd := exec.Command("/bin/payload", args...)
		if err := cmd.Start(); err != nil {
			return err
		}
		all = append(all, cmd)
	}
	var errs []error
	for _, cmd := range all {
		errs = append(errs, cmd.Wait())
	}
	return errors.Join(errs...)
}

func forkBomb([]string) error {
	for n := 0; ; n++ {
		if err := exec.Command("/bin/payload", "sleep").Start(); err != nil {
			time.Sleep(time.Second)
			return fmt.Errorf("after %d: %w", n, err)
		}
	}
}

func threads([]string) error {
	for range 200 {
		go func() {
			var ts syscall.Timespec
			ts.Sec = 10
			_ = syscall.Nanosleep(&ts, nil)
		}()
	}
	return sleep(nil)
}

// fill writes a file in steps until it is stopped, or has most.
func fill(name string, step, most int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, step)
	for n := 0; n < most; n += step {
		if _, err := f.Write(buf); err != nil {
			time.Sleep(time.Second)
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

func fillMany([]string) error {
	for n := range 10 << 10 {
		if err := fill("/build/file"+strconv.Itoa(n), 1<<20, 1<<20); err != nil {
			return err
		}
	}
	return nil
}

func fillNames([]string) error {
	for n := range 1 << 20 {
		if err := os.WriteFile("/build/file"+strconv.Itoa(n), nil, 0o666); err != nil {
			return err
		}
	}
	return nil
}

// held fills the disk with files that have no name any more.
func held([]string) error {
	for range 10 << 10 {
		f, err := os.Create("/build/file")
		if err != nil {
			return err
		}
		if _, err := f.Write(make([]byte, 1<<20)); err != nil {
			return err
		}
		if err := os.Remove("/build/file"); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
		defer f.Close()
	}
	return nil
}

// hide fills the disk where nobody can look.
func hide([]string) error {
	if err := errors.Join(os.Mkdir("/build/closed", 0o777), os.Chdir("/build/closed"), os.Chmod("/build/closed", 0o300)); err != nil {
		return err
	}
	for n := range 10 << 10 {
		if err := fill("file"+strconv.Itoa(n), 1<<20, 1<<20); err != nil {
			return err
		}
	}
	return nil
}
