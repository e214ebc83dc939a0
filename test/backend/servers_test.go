// Package backend runs the log on what others run: an S3 server and a MariaDB
// of Debian, on this machine. It is a module of its own so that neither is a
// part of the product.
package backend

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/go-sql-driver/mysql"

	"github.com/patchfit/patchfit/internal/daemontest"
	"github.com/patchfit/patchfit/registry/content/s3"
)

const (
	access = "patchfit-test"
	secret = "not-much-of-a-secret"
	region = "us-east-1"
)

var bucketServer, databaseServer *daemontest.Daemon

func TestMain(m *testing.M) {
	runtime.LockOSThread() // the servers die with the thread that started them
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "patchfit-backend-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("AWS_ACCESS_KEY_ID", access)
	os.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	for _, start := range []func(string) error{startBucket, startDatabase} {
		if err := start(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	defer bucketServer.Stop()
	defer databaseServer.Stop()
	return m.Run()
}

func startBucket(dir string) (err error) {
	root := filepath.Join(dir, "buckets")
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	bucketServer, err = daemontest.Bucket(root, access, secret)
	return err
}

func startDatabase(dir string) error {
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		if server, err = exec.LookPath("/usr/sbin/mariadbd"); err != nil {
			return fmt.Errorf("MariaDB is not installed: run scripts/setup database")
		}
	}
	data := filepath.Join(dir, "db")
	user := []string{}
	if os.Getuid() == 0 {
		user = []string{"--user=root"} // of a machine that is all ours; it refuses to guess
	}
	install := exec.Command("mariadb-install-db", append([]string{"--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db"}, user...)...)
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("making a database: %w\n%s", err, out)
	}
	init := filepath.Join(dir, "init.sql")
	users := "CREATE USER IF NOT EXISTS '" + access + "'@'127.0.0.1' IDENTIFIED BY '" + secret + "';\nGRANT ALL ON *.* TO '" + access + "'@'127.0.0.1';\n"
	if err := os.WriteFile(init, []byte(users), 0o600); err != nil {
		return err
	}
	addr, err := daemontest.FreePort()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(addr)
	databaseServer = &daemontest.Daemon{
		Command: append([]string{
			server, "--no-defaults", "--datadir=" + data, "--socket=" + filepath.Join(dir, "db.sock"), "--pid-file=" + filepath.Join(dir, "db.pid"),
			"--bind-address=127.0.0.1", "--port=" + port, "--skip-name-resolve", "--init-file=" + init, "--innodb-buffer-pool-size=32M", "--log-error=" + filepath.Join(dir, "db.log"),
		}, user...),
		Addr: addr,
		Ready: func() error {
			db, err := database("")
			if err != nil {
				return err
			}
			defer db.Close()
			return db.Ping()
		},
	}
	return databaseServer.Start()
}

func dsn(name string) string {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr, c.DBName = access, secret, "tcp", databaseServer.Addr, name
	return c.FormatDSN()
}

func database(name string) (*sql.DB, error) { return sql.Open("mysql", dsn(name)) }

// newDatabase makes an empty database and returns its name.
func newDatabase(t testing.TB) string {
	t.Helper()
	name := "db_" + strings.ToLower(rand.Text())
	exec1(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { exec1(t, "DROP DATABASE "+name) })
	return name
}

func exec1(t testing.TB, statement string) {
	t.Helper()
	db, err := database("")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		t.Error(err)
	}
}

// settings are how a server of ours speaks to its bucket.
func settings(t testing.TB, bucket string) func(*awss3.Options) {
	t.Helper()
	f, err := s3.Config{Endpoint: "http://" + bucketServer.Addr, Region: region, Bucket: bucket}.Settings(&s3.Options{Attempts: 2, Backoff: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newBucket makes a bucket and returns its name.
func newBucket(t testing.TB) string {
	t.Helper()
	bucket := "b-" + strings.ToLower(rand.Text())
	api := awss3.New(awss3.Options{}, settings(t, bucket))
	if _, err := api.CreateBucket(context.Background(), &awss3.CreateBucketInput{Bucket: &bucket}); err != nil {
		t.Fatal(err)
	}
	return bucket
}
