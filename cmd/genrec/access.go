package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"genrec/cmd/genrec/settings"
	"genrec/pkg/textfile"
	"genrec/pkg/tlsfiles"
)

// access is how to get into a server.
type access struct {
	tls            *tls.Config // nil: not encrypted
	user, password string
}

// accessFlags are those by which to get into a server. A password is no flag: every
// user of a machine can read the command lines of its processes.
func accessFlags(server string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: server + "-tls", Usage: "encrypt the connections, as the following files also do"},
		&cli.StringFlag{Name: server + "-ca", Usage: "PEM `FILE` of the CA that signed the servers' certificates, if not one of the system's"},
		&cli.StringFlag{Name: server + "-cert", Usage: "PEM `FILE` of the certificate to show to the servers"},
		&cli.StringFlag{Name: server + "-key", Usage: "PEM `FILE` of that certificate's key"},
		&cli.StringFlag{Name: server + "-user", Usage: "`NAME` to log in with"},
		&cli.StringFlag{Name: server + "-password-file", Usage: "`FILE` with the password, or the variable " + passwordVariable(server) + " holds it"},
	}
}

// passwordVariable is where a server's password may be. There is no flag of that name.
func passwordVariable(server string) string {
	return variablePrefix + strings.ToUpper(server) + "_PASSWORD"
}

func readAccess(cmd *cli.Command, server string) (a access, err error) {
	files := tlsfiles.Files{CA: cmd.String(server + "-ca"), Cert: cmd.String(server + "-cert"), Key: cmd.String(server + "-key")}
	if cmd.Bool(server+"-tls") || files != (tlsfiles.Files{}) {
		a.tls, err = files.Client()
		err = settings.Wrong(cmd, err, server+"-ca", server+"-cert", server+"-key")
	}
	a.user = cmd.String(server + "-user")
	password, failed := readSecret(cmd.String(server+"-password-file"), passwordVariable(server))
	if a.password = password; failed == nil && a.user != "" && a.password == "" {
		failed = fmt.Errorf("a password is needed, too: name its file by --%s-password-file, or set %s", server, passwordVariable(server))
		return a, settings.Join(err, settings.Wrong(cmd, failed, server+"-user"))
	}
	return a, settings.Join(err, settings.Wrong(cmd, failed, server+"-password-file"))
}

const maxSecret = 64 << 10

// readSecret takes one from a file, or else from a variable, in both cases without the blanks
// and line ends around it, which editors and secret stores add.
func readSecret(path, variable string) (string, error) {
	set := strings.TrimSpace(os.Getenv(variable))
	switch {
	case path == "":
		return set, nil
	case set != "":
		return "", fmt.Errorf("%s is set too: choose one", variable)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value, err := textfile.Decode(data)
	if err != nil {
		return "", fmt.Errorf("the file %s: %w", path, err)
	}
	if value == "" || len(value) > maxSecret {
		return "", errors.New("the file " + path + " is empty, or too long for a secret")
	}
	return value, nil
}

// readTokens takes them from a file, one a line, or else from a variable, with blanks between.
func readTokens(path, variable string) (tokens []string, err error) {
	text, err := readSecret(path, variable)
	if err != nil || path == "" {
		return strings.Fields(text), err
	}
	lines := textfile.NewScanner(strings.NewReader(text), maxSecret)
	for lines.Scan() {
		tokens = append(tokens, strings.Fields(lines.Unquoted())...)
	}
	return tokens, lines.Err()
}
