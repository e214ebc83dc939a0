package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The one product of the demo, and the flags both builds share.
const repository = "lib/greet"

var sharedFlags = []string{"-O2", "-fPIC", "-shared", "-Wl,-soname,libgreet.so.1", "-Wl,--build-id=sha1"}

// The builds differ in this flag and in nothing else.
var onlyFlag = map[string]string{"A": "-fno-short-enums", "B": "-fshort-enums"}

var story = []step{
	{"1. One source, two builds, a single flag apart", "a library is built twice, each build's environment captured from the tools that ran", capture},
	{"", "nothing on the outside tells the builds apart: same soname, same version string", lookAlike},
	{"", "the environments differ in exactly that flag", oneDifference},

	{"2. Trust is made away from the server", "a server starts with fresh keys, a log, a journal and a registry", startFresh},
	{"", "a trust policy is made and signed offline, and the server takes it", trust},
	{"", "a publisher and an auditor get their roles and log in with keys of their own", principals},

	{"3. Publish", "builder image (the very tools that ran), environments and bases go up, signed and logged", publishBases},
	{"", "a live patch for build A goes up, signed and logged", publishPatch},

	{"4. Pull", "host A, which runs build A, and host B, which runs build B, enrol and record what they run", enrol},
	{"", "host A gets the patch with the agent, which verifies everything again itself", agentPull},
	{"", "host A gets the same bytes with unmodified oras", orasPull},
	{"", "host B is denied by tag, with the flag named", deniedByTag},
	{"", "host B is denied by digest", deniedByDigest},
	{"", "host B is denied the blob itself", deniedBlob},
	{"", "host B's agent is denied too and leaves no file behind", deniedAgent},

	{"5. Attack", "an unsigned patch opens nothing: NO_ATTESTATION", unsigned},
	{"", "a patch signed by a stranger is refused: UNTRUSTED_SIGNER", stranger},
	{"", "a bundle moved over from another artifact is refused: SUBJECT_MISMATCH", movedBundle},
	{"", "a base vouched for by someone who is not its authority is refused: UNTRUSTED_SIGNER", notTheAuthority},
	{"", "a byte flipped on the server's disk is noticed, never served: CORRUPT", flippedByte},

	{"6. Ask", "the auditor sees who built the patch and its base, each claim with its place in the log", whoBuilt},
	{"", "the auditor sees both decisions, with reasons", decisions},
	{"", "the auditor verifies the log from its first entry to its last", auditLog},
}

func capture(w *world) (string, error) {
	src := w.path("src")
	if err := os.Mkdir(src, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"greet.c", "greet_patch.c"} {
		if err := os.WriteFile(filepath.Join(src, name), sources[name], 0o644); err != nil {
			return "", err
		}
	}
	if err := w.compile("A", "libgreet-A.so", "greet.c", "--pack", w.path("builder")); err != nil {
		return "", err
	}
	if err := w.compile("B", "libgreet-B.so", "greet.c", "--builder", w.path("builder")); err != nil {
		return "", err
	}
	return "gcc " + strings.Join(sharedFlags, " ") + " " + onlyFlag["A"] + " | " + onlyFlag["B"], nil
}

// compile captures one build; its capture lies beside the source tree.
func (w *world) compile(name, output, source string, how ...string) error {
	args := append([]string{"env", "capture", "--source", w.path("src"), "-o", w.path(output + ".capture")}, how...)
	args = append(append(append(args, "--", "gcc"), sharedFlags...), onlyFlag[strings.TrimPrefix(name, "patch-")])
	args = append(args, "-o", "src/"+output, "src/"+source)
	_, err := w.ok(nil, "patchfit", args...)
	return err
}

func lookAlike(w *world) (string, error) {
	var seen [2]string
	for i, name := range []string{"A", "B"} {
		soname, version, err := outside(w.path("src", "libgreet-"+name+".so"))
		if err != nil {
			return "", err
		}
		seen[i] = fmt.Sprintf("soname %s, version string %q", soname, version)
	}
	if seen[0] != seen[1] {
		return "", fmt.Errorf("build A has %s, build B has %s", seen[0], seen[1])
	}
	return seen[0], nil
}

func oneDifference(w *world) (string, error) {
	out, err := w.run(nil, "patchfit", "env", "diff", w.path("libgreet-A.so.capture"), w.path("libgreet-B.so.capture"))
	if err != nil {
		return "", err
	}
	rows := strings.Split(out.stdout, "\n")
	if len(rows) != 2 || !strings.Contains(rows[1], onlyFlag["A"]) || !strings.Contains(rows[1], onlyFlag["B"]) {
		return "", fmt.Errorf("want one difference, the flag, got\n%s%s", out.stdout, out.stderr)
	}
	return rows[1], nil
}

func startFresh(w *world) (string, error) {
	if _, err := w.ok(nil, "patchfitd", "init", "--config", w.path("patchfitd.yaml"), "--data", w.path("data"),
		"--listen", "127.0.0.1:0", "--origin", "demo.patchfit.localhost", "--admin-token", w.path("admin-token")); err != nil {
		return "", err
	}
	if err := w.startServer(); err != nil {
		return "", err
	}
	return "listening on " + w.url, nil
}

func trust(w *world) (string, error) {
	for _, name := range []string{"root", "base-ci", "patch-ci", "stranger", "publisher", "auditor"} {
		if _, err := w.ok(nil, "patchfit", "keygen", "-o", name+".pem"); err != nil {
			return "", err
		}
	}
	init := []string{"trust", "init", "-o", "policy.json", "--root", "root.pem.pub", "--trusted-root", "data/trusted_root.json", "--product", repository,
		"--signer", "base-ci=base-ci.pem.pub", "--signer", "patch-ci=patch-ci.pem.pub",
		"--authority", repository + ":builder=base-ci", "--authority", repository + ":base=base-ci",
		"--authority", repository + ":patch=patch-ci", "--authority", repository + ":revocation=base-ci"}
	for _, args := range [][]string{init, {"trust", "sign", "--key", "root.pem", "policy.json"}, w.admin("trust", "push", "policy.signed.json")} {
		if _, err := w.ok(nil, "patchfit", args...); err != nil {
			return "", err
		}
	}
	var shown struct {
		Roots    string
		Products []struct{ ID string }
	}
	if err := w.json(&shown, nil, "trust", "show", "policy.signed.json"); err != nil {
		return "", err
	}
	w.refs["roots"], w.refs["product"] = shown.Roots, shown.Products[0].ID
	_, err := w.ok(nil, "patchfit", w.admin("admin", "product", w.refs["product"])...)
	return "product " + w.refs["product"] + " in " + repository, err
}

func principals(w *world) (string, error) {
	for _, role := range []string{"publisher", "auditor"} {
		var made struct{ Principal string }
		if err := w.json(&made, nil, w.admin("admin", "principal", "--name", role, "--key", role+".pem.pub")...); err != nil {
			return "", err
		}
		if _, err := w.ok(nil, "patchfit", w.admin("admin", "grant", "--principal", made.Principal, "--product", w.refs["product"], "--role", role)...); err != nil {
			return "", err
		}
		if _, err := w.ok(w.as(role), "patchfit", "login", w.url, "--principal", made.Principal, "--key", role+".pem", "--roots", w.refs["roots"]); err != nil {
			return "", err
		}
	}
	return "", nil
}

func publishBases(w *world) (string, error) {
	if _, err := w.publish("builder", "builder-image", w.path("builder"), "--key", "base-ci.pem"); err != nil {
		return "", err
	}
	var seen []string
	for _, name := range []string{"A", "B"} {
		lib := "libgreet-" + name + ".so"
		line, err := w.publish("base-"+strings.ToLower(name), "base", "src/"+lib, "--capture", lib+".capture", "--key", "base-ci.pem")
		if err != nil {
			return "", err
		}
		seen = append(seen, line)
	}
	return strings.Join(seen, "\n"), nil
}

func publishPatch(w *world) (string, error) {
	if err := w.compile("patch-A", "patch.so", "greet_patch.c", "--builder", w.path("builder"), "--patch-of", w.path("libgreet-A.so.capture")); err != nil {
		return "", err
	}
	return w.publish("fix-1", "patch", "src/patch.so", "--capture", "patch.so.capture", "--base", "base-a", "--key", "patch-ci.pem", "--fixes", "CVE-2026-10001")
}

// publish publishes under a tag and remembers what it became.
func (w *world) publish(tag, kind, file string, args ...string) (string, error) {
	if _, err := w.ok(w.as("publisher"), "patchfit", append([]string{"publish", kind, file, "--to", repository + ":" + tag}, args...)...); err != nil {
		return "", err
	}
	digest, err := w.ok(w.as("publisher"), "oras", "resolve", "--plain-http", w.ref(":"+tag))
	w.refs[tag] = digest
	return tag + " is " + repository + "@" + digest, err
}

func enrol(w *world) (string, error) {
	for _, name := range []string{"a", "b"} {
		token, err := w.ok(nil, "patchfit", w.admin("admin", "token", "--product", w.refs["product"])...)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(w.path("enrol-"+name), []byte(token), 0o600); err != nil {
			return "", err
		}
		if _, err := w.ok(nil, "patchfit-agent", "enroll", "--state", "host-"+name, "--token-file", "enrol-"+name, "--name", "host-"+name); err != nil {
			return "", err
		}
		if _, err := w.ok(nil, "patchfit-agent", "record", "--state", "host-"+name, "--base", repository+"=src/libgreet-"+strings.ToUpper(name)+".so"); err != nil {
			return "", err
		}
	}
	return "", nil
}

func agentPull(w *world) (string, error) {
	if _, err := w.ok(nil, "patchfit-agent", "pull", "--state", "host-a", repository+":fix-1", "-o", "agent.so"); err != nil {
		return "", err
	}
	return "", w.same("agent.so", "src/patch.so")
}

func orasPull(w *world) (string, error) {
	if _, err := w.ok(w.host("a"), "oras", "pull", "--plain-http", w.ref(":fix-1"), "-o", "oras-a"); err != nil {
		return "", err
	}
	return "", w.same("oras-a/patch.so", "src/patch.so")
}

// flagNamed is what every denial of host B has to say.
func flagNamed() []string {
	return []string{"ENV_MISMATCH", "flags/5", onlyFlag["A"], onlyFlag["B"], "decision d-"}
}

func deniedByTag(w *world) (string, error) {
	return w.refused(w.host("b"), flagNamed(), "oras", "pull", "--plain-http", w.ref(":fix-1"), "-o", "oras-b")
}

func deniedByDigest(w *world) (string, error) {
	_, err := w.refused(w.host("b"), flagNamed(), "oras", "pull", "--plain-http", w.ref("@"+w.refs["fix-1"]), "-o", "oras-b")
	return "", err
}

func deniedBlob(w *world) (string, error) {
	layer, err := w.layer("fix-1")
	if err != nil {
		return "", err
	}
	if _, err := w.ok(w.host("a"), "oras", "blob", "fetch", "--plain-http", w.ref("@"+layer), "-o", "blob-a"); err != nil {
		return "", fmt.Errorf("host A has to get the blob: %w", err)
	}
	_, err = w.refused(w.host("b"), flagNamed(), "oras", "blob", "fetch", "--plain-http", w.ref("@"+layer), "-o", "blob-b")
	return "", err
}

func deniedAgent(w *world) (string, error) {
	o, err := w.run(nil, "patchfit-agent", "pull", "--state", "host-b", repository+":fix-1", "-o", "agent-b.so")
	if err != nil {
		return "", err
	}
	if o.code != 3 || !strings.Contains(o.stderr, "ENV_MISMATCH") {
		return "", fmt.Errorf("want exit code 3 and ENV_MISMATCH, got %d\n%s", o.code, o.stderr)
	}
	if _, err := os.Stat(w.path("agent-b.so")); !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("a file was left behind: %v", err)
	}
	return "", nil
}

func whoBuilt(w *world) (string, error) {
	out, err := w.ok(w.as("auditor"), "patchfit", "audit", "who-built", repository+"@"+w.refs["fix-1"])
	if err != nil {
		return "", err
	}
	for _, want := range []string{w.refs["fix-1"], w.refs["base-a"], w.refs["builder"]} {
		if !strings.Contains(out, want) {
			return "", fmt.Errorf("the lineage lacks %s\n%s", want, out)
		}
	}
	return out, nil
}

func decisions(w *world) (string, error) {
	var page struct {
		Decisions []struct {
			Host  string
			Allow bool
		}
	}
	if err := w.json(&page, w.as("auditor"), "audit", "decisions", "--product", w.refs["product"], "--artifact", w.refs["fix-1"]); err != nil {
		return "", err
	}
	said := map[bool]string{}
	for _, d := range page.Decisions {
		said[d.Allow] = d.Host
	}
	if len(page.Decisions) != 2 || said[true] == "" || said[false] == "" || said[true] == said[false] {
		return "", fmt.Errorf("want one allow and one deny of different hosts, got %+v", page.Decisions)
	}
	return w.ok(w.as("auditor"), "patchfit", "audit", "decisions", "--product", w.refs["product"], "--artifact", w.refs["fix-1"])
}

func auditLog(w *world) (string, error) {
	return w.ok(w.as("auditor"), "patchfit", "audit", "verify", "--trusted-root", "data/trusted_root.json")
}

// json runs patchfit with --format json and reads what it prints.
func (w *world) json(v any, env []string, args ...string) error {
	out, err := w.ok(env, "patchfit", append(args, "--format", "json")...)
	if err != nil {
		return err
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(v); err != nil && err != io.EOF {
		return fmt.Errorf("reading what patchfit %s printed: %w", args[0], err)
	}
	return nil
}
