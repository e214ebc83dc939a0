package sandbox

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// An order is what the first process inside is told.
type order struct {
	Made       bool   // the world is there
	Root, Work string // where the caller's trees are; "" if they come as file descriptors
	Place      string // a directory to mount the new root over
	Dir        string
	Command    []string
	Env        []string
	Memory     int64 // size of /tmp
	Rlimits    []rlimit
}

// An answer is what it says: that it is ready, then how the command ended; or
// why it is not.
type answer struct {
	Ready       bool   `json:",omitempty"`
	Unavailable bool   `json:",omitempty"` // the machine cannot do it
	Failure     string `json:",omitempty"`
	Code        int    `json:",omitempty"`
	Signal      int    `json:",omitempty"`
}

// maxFrame holds any command line and environment that Linux can start.
const maxFrame = 16 << 20

// send writes v as one frame: its length, its JSON.
func send(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxFrame {
		return fmt.Errorf("the command and its environment are %d bytes, more than %d", len(b), maxFrame)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func receive(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("a frame of %d bytes exceeds the limit of %d", n, maxFrame)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// socketpair returns two ends of a stream. The far one is for another process.
func socketpair() (near *net.UnixConn, far *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	// What comes says from which process.
	if err := unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return nil, nil, errors.Join(err, unix.Close(fds[0]), unix.Close(fds[1]))
	}
	far = os.NewFile(uintptr(fds[1]), "sandbox")
	near, err = unixConn(os.NewFile(uintptr(fds[0]), "sandbox"))
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// unixConn makes f, which is closed, a connection.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%s is no socket", f.Name())
	}
	return u, nil
}

// sendTrees passes open trees on, with one byte for them to ride on.
func sendTrees(c *net.UnixConn, trees ...int) error {
	_, _, err := c.WriteMsgUnix([]byte{0}, unix.UnixRights(trees...), nil)
	return err
}

// receiveTrees takes n open trees.
func receiveTrees(c *net.UnixConn, n int) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(n*4))
	_, got, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:got])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("no trees came: %w", err)
	}
	trees, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(trees) != n {
		return nil, fmt.Errorf("%d trees came, want %d: %w", len(trees), n, err)
	}
	return trees, nil
}
