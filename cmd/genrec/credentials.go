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

// credentials are what a server requires of a client.
type credentials struct {
	tls            *tls.Config // nil: no TLS
	user, password string
}

// credentialFlags are the flags for TLS and login of "kafka" or "redis". There is no flag for a
// password: every user of a machine can read the command lines of its processes.
func credentialFlags(server string) []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: server + "-tls", Usage: "use TLS; the TLS files below imply it"},
		&cli.StringFlag{Name: server + "-ca", Usage: "PEM `FILE` of the CA that signed the server certificate; default: the CAs of the system"},
		&cli.StringFlag{Name: server + "-cert", Usage: "PEM `FILE` of the client certificate"},
		&cli.StringFlag{Name: server + "-key", Usage: "PEM `FILE` of the key of the client certificate"},
		&cli.StringFlag{Name: server + "-user", Usage: "user `NAME` for the login"},
		&cli.StringFlag{Name: server + "-password-file", Usage: "`FILE` with the password; alternatively, set the variable " + passwordVariable(server)},
	}
}

// passwordVariable is the environment variable for a server's password. It has no flag.
func passwordVariable(server string) string {
	return variablePrefix + strings.ToUpper(server) + "_PASSWORD"
}

func readCredentials(cmd *cli.Command, server string) (c credentials, invalid error) {
	files := tlsfiles.Files{CA: cmd.String(server + "-ca"), Cert: cmd.String(server + "-cert"), Key: cmd.String(server + "-key")}
	if cmd.Bool(server+"-tls") || files != (tlsfiles.Files{}) {
		var err error
		c.tls, err = files.Client()
		invalid = settings.Invalid(cmd, err, server+"-ca", server+"-cert", server+"-key")
	}
	c.user = cmd.String(server + "-user")
	var err error
	if c.password, err = readSecret(cmd.String(server+"-password-file"), passwordVariable(server)); err == nil && c.user != "" && c.password == "" {
		err = fmt.Errorf("a password is required, too: set --%s-password-file or %s", server, passwordVariable(server))
		return c, settings.Join(invalid, settings.Invalid(cmd, err, server+"-user"))
	}
	return c, settings.Join(invalid, settings.Invalid(cmd, err, server+"-password-file"))
}

const maxSecret = 64 << 10 // bytes

// readSecret reads a secret from a file or else from an environment variable, without the
// spaces and line breaks around it that editors and secret stores add.
func readSecret(path, variable string) (string, error) {
	set := strings.TrimSpace(os.Getenv(variable))
	switch {
	case path == "":
		return set, nil
	case set != "":
		return "", fmt.Errorf("%s is set, too: choose one", variable)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	value, err := textfile.Decode(data)
	if err != nil {
		return "", fmt.Errorf("file %s: %w", path, err)
	}
	if value == "" || len(value) > maxSecret {
		return "", errors.New("file " + path + " is empty, or too large for a secret")
	}
	return value, nil
}

// readTokens reads tokens from a file, one per line, or else from an environment variable,
// separated by spaces.
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
