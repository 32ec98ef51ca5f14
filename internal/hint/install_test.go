package hint

import "testing"

func TestInstall(t *testing.T) {
	others := map[string]string{"apk": "x-tools && sudo service x start"}
	for _, c := range []struct{ has, want string }{
		{"apt-get", "install X (`sudo apt-get install x`)"},
		{"dnf", "install X (`sudo dnf install x`)"},
		{"apk", "install X (`sudo apk add x-tools && sudo service x start`)"},
		{"brew", "install X"}, // none that is known: no command that could not be pasted
	} {
		if got := install("X", "x", others, func(program string) bool { return program == c.has }); got != c.want {
			t.Errorf("with %s: %s, want %s", c.has, got, c.want)
		}
	}
}
