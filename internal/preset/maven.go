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

	path string
}

type mavenRepository struct {
	URL string `xml:"url"`
}

// mavenSaid reads the settings of Maven's installation and the person's:
// mirrors, and the repositories of profiles where not all is mirrored.
func (c Clients) mavenSaid(ctx context.Context) ([]said, error) {
	var all []said
	var read []mavenSettings
	everything := false
	for _, path := range c.mavenFiles() {
		settings, err := c.readMaven(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, mirror := range settings.Mirrors {
			if strings.TrimSpace(mirror.Blocked) == "true" {
				continue
			}
			of := strings.FieldsFunc(mirror.Of, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })
			most := slices.Contains(of, "*") || slices.Contains(of, "external:*")
			central := slices.Contains(of, "central") || most && !slices.Contains(of, "!central")
			one, err := say(strings.TrimSpace(mirror.URL), path, central)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			everything = everything || len(of) == 1 && of[0] == "*"
			all = append(all, one)
		}
		settings.path = path
		read = append(read, settings)
	}
	if everything {
		return all, nil
	}
	for _, settings := range read {
		found, err := settings.repositories()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", settings.path, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// repositories are those of profiles.
func (s mavenSettings) repositories() ([]said, error) {
	var all []said
	for _, profile := range s.Profiles {
		for _, repository := range slices.Concat(profile.Repositories, profile.Plugins) {
			one, err := say(strings.TrimSpace(repository.URL), s.path, false)
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
	}
	return all, nil
}

// mavenFiles are the person's and the installation's. In an image that is where
// Debian and Maven's own images have it.
func (c Clients) mavenFiles() []string {
	paths := []string{filepath.Join(c.Home, ".m2", "settings.xml")}
	installed := absolute(c.variable("MAVEN_HOME"), c.variable("M2_HOME"))
	if len(installed) == 0 && c.from != nil {
		installed = []string{"/usr/share/maven"}
	}
	for _, dir := range installed {
		paths = append(paths, filepath.Join(dir, "conf", "settings.xml"))
	}
	return slices.Compact(paths)
}

func (c Clients) readMaven(ctx context.Context, path string) (mavenSettings, error) {
	var settings mavenSettings
	text, err := c.read(ctx, path)
	if err != nil || strings.TrimSpace(text) == "" {
		return settings, err
	}
	if err := xml.Unmarshal([]byte(text), &settings); err != nil {
		return settings, errors.New("not a file of Maven's settings")
	}
	return settings, nil
}
