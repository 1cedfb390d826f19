package demo

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"parley/backend/chat"
)

// people is how names, places and numbers look among the speakers of a
// language.
type people struct {
	language      string
	weight        int
	given, family []string
	familyFirst   bool // 山田花子: family name first, no space
	cities        []string
	country       string
	zone          string
	dial          string
}

func allPeople() []people {
	return []people{
		{"en", 34, words("Emma Oliver Ava Noah Sophie Liam Maya Ethan Zoë Jack Chloé Ryan Siân Aoife Kwame"),
			words("Smith Brown O’Neill Taylor Walker Hughes Patel Evans García-Lopez Okonkwo Wright"), false,
			words("London Bristol Leeds Dublin Glasgow Toronto"), "GB", "Europe/London", "+44 7"},
		{"de", 16, words("Jürgen Anja Björn Käthe Lukas Mareike Sören Ulrike Jonas Dörte Łukasz Zuzana"),
			words("Müller Schröder Weiß Köhler Großmann Jäger Voß Nowák Dvořák Żak"), false,
			words("Berlin München Köln Zürich Wien Görlitz"), "DE", "Europe/Berlin", "+49 15"},
		{"fr", 8, words("Chloé Éloïse Jérôme François Zoé Maëlle Loïc Océane Gaël"),
			words("Lefèvre Béranger Dubois Noël Français Çelik Gauthier"), false,
			words("Lyon Nîmes Besançon Genève Liège"), "FR", "Europe/Paris", "+33 6"},
		{"es", 8, words("José María Iñaki Lucía Núria Andrés Begoña Raúl Sofía"),
			words("Núñez Peña Ibáñez Muñoz Güell Domínguez Yáñez"), false,
			words("Málaga Córdoba A_Coruña Bogotá León"), "ES", "Europe/Madrid", "+34 6"},
		{"ru", 6, words("Анна Дмитрий Ольга Сергей Юлия Фёдор Алёна Тарас"),
			words("Иваненко Соловьёва Кузнецов Шевченко Морозова Щербак"), false,
			words("Рига Алматы Тбилиси Вильнюс"), "LV", "Europe/Riga", "+371 2"},
		{"ar", 6, words("محمد فاطمة أحمد ليلى يوسف نور خالد مريم"),
			words("الحسن العلي حداد المصري الخطيب منصور"), false,
			words("دبي عمّان القاهرة بيروت"), "AE", "Asia/Dubai", "+971 5"},
		{"he", 3, words("נועה יונתן תמר איתי שירה דניאל"),
			words("כהן לוי פרץ ביטון אזולאי"), false,
			words("חיפה ירושלים תל־אביב"), "IL", "Asia/Jerusalem", "+972 5"},
		{"zh", 6, words("伟 芳 秀英 敏 静 子涵 浩然 思远"),
			words("王 李 张 陈 刘 欧阳 黄"), true,
			words("上海 杭州 台北 深圳"), "CN", "Asia/Shanghai", "+86 13"},
		{"ja", 4, words("花子 太郎 さくら 翔太 陽菜 ケンジ"),
			words("山田 佐藤 鈴木 高橋 渡辺"), true,
			words("東京 大阪 札幌 京都"), "JP", "Asia/Tokyo", "+81 90"},
		{"ko", 4, words("민준 서연 지우 하은 도윤 수빈"),
			words("김 이 박 최 정 남궁"), true,
			words("서울 부산 인천 제주"), "KR", "Asia/Seoul", "+82 10"},
		{"hi", 3, words("आरव प्रिया राहुल अनन्या विक्रम मीरा"),
			words("शर्मा पटेल सिंह गुप्ता अय्यर"), false,
			words("मुंबई दिल्ली पुणे जयपुर"), "IN", "Asia/Kolkata", "+91 98"},
		{"el", 2, words("Γιώργος Ελένη Νίκος Άννα Δημήτρης Ιωάννα"),
			words("Παπαδόπουλος Νικολαΐδης Γεωργίου Ψαρράς"), false,
			words("Αθήνα Θεσσαλονίκη Πάτρα Λευκωσία"), "GR", "Europe/Athens", "+30 69"},
	}
}

func words(s string) []string {
	list := strings.Fields(s)
	for i, w := range list {
		list[i] = strings.ReplaceAll(w, "_", " ")
	}
	return list
}

// person is a contact and what its threads follow from.
type person struct {
	contact  chat.Contact
	language *language
	brand    int
	last     chat.Time // its first conversation's newest message
	channels [2]int    // the second only if it writes on two
}

// contactOf says whose conversation the i-th is. Every sixteenth is a second
// conversation of the person before.
func contactOf(i int) (contact int, again bool) {
	if i%16 == 15 {
		return i - 1, true
	}
	return i, false
}

// person makes the k-th contact.
func (s *Set) person(k int) person {
	r := s.source(streamContact, k)
	p := person{language: s.drawLanguage(r)}
	switch d := r.IntN(100); {
	case d < 62:
		p.brand = coffee
	case d < 82:
		p.brand = creator
	default:
		p.brand = agency
	}
	p.channels[0] = s.drawChannel(r, p.brand, -1)
	p.channels[1] = s.drawChannel(r, p.brand, p.channels[0])

	// Most write today or this week; the tail reaches two years back.
	age := min(logNormal(r, 4*24, 1.9), 24*730)
	p.last = s.opts.Now.Add(-time.Duration(age * float64(time.Hour)))
	tenure := min(max(logNormal(r, 20*24, 1.6), 2), 24*120)
	created := p.last.Add(-time.Duration(tenure * float64(time.Hour)))

	where := &p.language.people
	c := &p.contact
	*c = chat.Contact{
		ID: newID[chat.Contact](r, created), Brand: s.Brands[p.brand].ID, Country: where.country, City: pick(r, where.cities),
		Language: p.language.code, Timezone: where.zone, CreatedAt: created, Identities: []chat.Identity{},
	}
	if !chance(r, 0.06) { // some never say who they are
		c.Name = where.name(r)
	}
	handle := handle(r, k)
	if chance(r, 0.7) {
		c.Email = handle + "@" + pick(r, []string{"mail.example", "post.example", "inbox.example"})
	}
	if chance(r, 0.45) {
		c.Phone = phone(r, where.dial, k)
	}
	c.Device, c.Browser = device(r)
	if chance(r, 0.12) {
		c.Tags = []string{pick(r, []string{"vip", "wholesale", "press", "newsletter"})}
	}
	c.Blocked = chance(r, 0.004)
	c.Identities = append(c.Identities, s.identity(r, p.channels[0], k, handle, c))
	if _, second := contactOf(k + 1); second && k+1 < s.opts.Conversations {
		c.Identities = append(c.Identities, s.identity(r, p.channels[1], k, handle, c))
	}
	return p
}

func (s *Set) drawLanguage(r *rand.Rand) *language {
	total := 0
	for _, l := range s.languages {
		total += l.people.weight
	}
	n := r.IntN(total)
	for _, l := range s.languages {
		if n -= l.people.weight; n < 0 {
			return l
		}
	}
	return s.languages[0]
}

// drawChannel draws a channel of a brand by weight, any but one.
func (s *Set) drawChannel(r *rand.Rand, brand, not int) int {
	plans := s.plans
	total := 0
	for i, p := range plans {
		if p.brand == brand && i != not {
			total += p.weight
		}
	}
	n, last := r.IntN(total), 0
	for i, p := range plans {
		if p.brand != brand || i == not {
			continue
		}
		last = i
		if n -= p.weight; n < 0 {
			break
		}
	}
	return last
}

// identity is the contact's address on a channel, completing what the channel
// itself reveals.
func (s *Set) identity(r *rand.Rand, channel, k int, handle string, c *chat.Contact) chat.Identity {
	id := chat.Identity{ID: newID[chat.Identity](r, c.CreatedAt), Channel: s.Channels[channel].ID, Name: c.Name}
	switch s.Channels[channel].Kind {
	case chat.KindWhatsApp:
		if c.Phone == "" {
			c.Phone = phone(r, "+49 15", k)
		}
		id.Address = strings.ReplaceAll(strings.TrimPrefix(c.Phone, "+"), " ", "")
	case chat.KindEmail:
		if c.Email == "" {
			c.Email = handle + "@mail.example"
		}
		id.Address = c.Email
	case chat.KindInstagram, chat.KindTelegram:
		id.Address = "@" + handle
	default:
		id.Address = strconv.FormatUint(r.Uint64()>>12, 36)
	}
	return id
}

func (p *people) name(r *rand.Rand) string {
	given, family := pick(r, p.given), pick(r, p.family)
	switch {
	case p.familyFirst:
		return family + given
	case chance(r, 0.08):
		return given
	}
	return given + " " + family
}

// shuffled gives each k below 9,000,000 a number of seven digits of its own, in
// no order that can be seen: addresses must be unique, and look as if by chance.
func shuffled(k int) int {
	const span, step = 9_000_000, 5_318_011 // without a common divisor
	return 1_000_000 + k%span*step%span
}

func handle(r *rand.Rand, k int) string {
	return pick(r, []string{"sunny", "quiet", "little", "north", "paper", "green", "velvet", "lucky"}) + "." +
		pick(r, []string{"otter", "harbor", "bean", "willow", "comet", "finch", "maple", "river"}) + strconv.Itoa(shuffled(k))
}

func phone(r *rand.Rand, dial string, k int) string {
	return dial + strconv.Itoa(10+r.IntN(90)) + " " + strconv.Itoa(shuffled(k))
}

func device(r *rand.Rand) (device, browser string) {
	switch r.IntN(5) {
	case 0:
		return "iPhone", "Safari 18"
	case 1:
		return "Android", "Chrome 141"
	case 2:
		return "Windows", "Edge 141"
	case 3:
		return "Mac", "Safari 18"
	}
	return "Linux", "Firefox 143"
}
