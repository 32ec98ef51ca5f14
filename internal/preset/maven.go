package preset

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// mavenSettings is what of settings.xml names hosts
// (https://maven.apache.org/settings.html).
type mavenSettings struct {
	XMLName xml.Name `xml:"settings"`
	Mirrors []struct {
		URL     string `xml:"url"`
		Of      string `xml:"mirrorOf"`
		Blocked string `xml:"blocked"`
	} `xml:"mirrors>mirror"`
	Profiles []struct {
		Repositories []mavenRepository `xml:"repositories>repository"`
		Plugins      []mavenRepository `xml:"pluginRepositories>pluginRepository"`
	} `xml:"profiles>profile"`
}

type mavenRepository struct {
	URL string `xml:"url"`
}

// maven reads the settings of Maven's installation and the person's: mirrors,
// and the repositories of profiles.
func (c Clients) maven(context.Context) ([]Host, error) {
	paths := []string{filepath.Join(c.Home, ".m2", "settings.xml")}
	for _, name := range []string{"MAVEN_HOME", "M2_HOME"} {
		if installed := c.variable(name); filepath.IsAbs(installed) {
			paths = append(paths, filepath.Join(installed, "conf", "settings.xml"))
		}
	}
	var mirrors, repositories []string
	central, everything := false, false
	for _, path := range paths {
		settings, err := readMaven(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, mirror := range settings.Mirrors {
			if strings.TrimSpace(mirror.Blocked) == "true" {
				continue
			}
			mirrors = append(mirrors, strings.TrimSpace(mirror.URL))
			of := strings.FieldsFunc(mirror.Of, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
			all := slices.Contains(of, "*") || slices.Contains(of, "external:*")
			central = central || slices.Contains(of, "central") || all && !slices.Contains(of, "!central")
			everything = everything || len(of) == 1 && of[0] == "*"
		}
		for _, profile := range settings.Profiles {
			for _, repository := range slices.Concat(profile.Repositories, profile.Plugins) {
				repositories = append(repositories, strings.TrimSpace(repository.URL))
			}
		}
	}
	if !everything {
		mirrors = append(mirrors, repositories...)
	}
	return configured("maven", mirrors, central)
}

func readMaven(path string) (mavenSettings, error) {
	var settings mavenSettings
	text, err := read(path)
	if err != nil || strings.TrimSpace(text) == "" {
		return settings, err
	}
	if err := xml.Unmarshal([]byte(text), &settings); err != nil {
		return settings, errors.New("not a file of Maven's settings")
	}
	return settings, nil
}
