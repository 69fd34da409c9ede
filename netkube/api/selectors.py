"""Label selectors: parsed from a query string or from an object's matchLabels/matchExpressions.

k8s.io/apimachinery/pkg/labels (grammar, messages) and pkg/apis/meta/v1/helpers.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from netkube.api.errors import ApiError, bad_request
from netkube.api.fielderrors import invalid
from netkube.api.names import is_label_value, is_qualified_name

_OPERATORS = {'=': '=', '==': '==', '!=': '!=', 'in': 'in', 'notin': 'notin', '>': 'gt', '<': 'lt'}
_BINARY = 'in, notin, =, ==, !=, gt, lt'
_OBJECT_OPERATORS = {'In': 'in', 'NotIn': 'notin', 'Exists': 'exists', 'DoesNotExist': '!'}


class Requirement(msgspec.Struct, frozen=True):
    """One condition on one label; ``operator`` is =, ==, !=, in, notin, exists, !, gt or lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case '=' | '==' | 'in':
                return value in self.values
            case '!=' | 'notin':
                return value not in self.values
            case 'exists':
                return value is not None
            case '!':
                return value is None
        number = _integer(value)
        if number is None:
            return False
        bound = int(self.values[0])
        return number > bound if self.operator == 'gt' else number < bound

    def __str__(self) -> str:
        match self.operator:
            case 'exists':
                return self.key
            case '!':
                return '!' + self.key
            case 'in' | 'notin':
                return f'{self.key} {self.operator} ({",".join(sorted(self.values))})'
        sign = {'gt': '>', 'lt': '<'}.get(self.operator, self.operator)
        return f'{self.key}{sign}{self.values[0]}'


class Selector(msgspec.Struct, frozen=True):
    """All requirements must hold; ``nothing`` is the selector of an absent LabelSelector, which matches no object.

    ``exact`` is all of them as labels, if they are no more than that: a ReplicaSet asks this of each of its Pods.
    """

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False
    exact: frozenset[tuple[str, str]] | None = None

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.nothing:
            return False
        if self.exact is not None:
            return self.exact <= (labels or {}).items()
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """It selects everything."""
        return not self.requirements and not self.nothing

    def __str__(self) -> str:
        return ','.join(str(requirement) for requirement in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector((), nothing=True)


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """Exactly these labels (a Service's spec.selector, a nodeSelector); {} selects everything."""
    wanted = sorted((labels or {}).items())
    return Selector(tuple(Requirement(key, '=', (value,)) for key, value in wanted), exact=frozenset(wanted))


def from_label_selector(selector: Mapping[str, Any] | None) -> Selector:
    """A metav1.LabelSelector: None selects nothing, {} everything. ApiError when an operator is unknown."""
    if selector is None:
        return NOTHING
    if not selector.get('matchExpressions'):
        return from_labels(selector.get('matchLabels'))
    found = [Requirement(key, '=', (value,)) for key, value in sorted((selector.get('matchLabels') or {}).items())]
    for expression in selector['matchExpressions']:
        operator = _OBJECT_OPERATORS.get(expression.get('operator', ''))
        if operator is None:
            raise bad_request(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(_requirement(expression.get('key', ''), operator, expression.get('values') or ()))
    return Selector(tuple(sorted(found, key=lambda requirement: requirement.key)))


def parse_selector(text: str | None) -> Selector:
    """The ``labelSelector`` of a request; '' selects everything. ApiError 400 on a fault, in Kubernetes' words."""
    if not text:
        return EVERYTHING
    return Selector(tuple(sorted(_Parser(text).parse(), key=lambda requirement: requirement.key)))


def _integer(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r'[+-]?\d+', text, re.ASCII) else None


def _check_key(path: str, key: str) -> None:
    if errors := is_qualified_name(key):
        raise bad_request(str(invalid(path, key, '; '.join(errors))))


def _requirement(key: str, operator: str, values: Iterable[str]) -> Requirement:
    """A checked requirement (labels.NewRequirement)."""
    wanted = tuple(values)
    _check_key('key', key)
    fault = _value_count_fault(operator, len(wanted))
    if fault:
        raise bad_request(str(invalid('values', list(wanted), fault)))
    for index, value in enumerate(wanted):
        if operator in ('gt', 'lt') and _integer(value) is None:
            message = "for 'Gt', 'Lt' operators, the value must be an integer"
            raise bad_request(str(invalid(f'values[{index}]', value, message)))
        if errors := is_label_value(value):
            raise bad_request(str(invalid(f'values[{index}][{key}]', value, '; '.join(errors))))
    return Requirement(key, operator, wanted)


def _value_count_fault(operator: str, count: int) -> str:
    match operator:
        case 'in' | 'notin':
            return "for 'in', 'notin' operators, values set can't be empty" if not count else ''
        case 'exists' | '!':
            return 'values set must be empty for exists and does not exist' if count else ''
        case '=' | '==' | '!=':
            return 'exact-match compatibility requires one single value' if count != 1 else ''
    return "for 'Gt', 'Lt' operators, exactly one value is required" if count != 1 else ''


class _Token(NamedTuple):
    kind: str  # an operator or punctuation itself, 'id', 'error' or '' at the end
    text: str


def _tokens(text: str) -> list[_Token]:
    """Scan; runs of =!<>(), are cut at the longest known symbol, as labels.Lexer does."""
    tokens = []
    for found in re.finditer(r'==|!=|[=!(),<>]|[^\s=!(),<>]+', text):
        word = found.group()
        known = word in _OPERATORS or word in ('!', '(', ')', ',')
        tokens.append(_Token(word if known else 'id', word))
    tokens.append(_Token('', ''))
    return tokens


class _Parser:
    """Recursive descent over the tokens; one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._position = 0

    def parse(self) -> list[Requirement]:
        requirements: list[Requirement] = []
        while True:
            kind, text = self._value_ahead()
            if not kind:
                return requirements
            if kind not in ('id', '!'):
                raise bad_request(f"found '{text}', expected: !, identifier, or 'end of string'")
            requirements.append(self._wrapped_requirement())
            if self._ended_after_requirement():
                return requirements

    def _wrapped_requirement(self) -> Requirement:
        try:
            return self._parse_requirement()
        except ApiError as error:
            raise bad_request(f'unable to parse requirement: {error.message}') from None

    def _ended_after_requirement(self) -> bool:
        kind, text = self._next_value()
        if not kind:
            return True
        if kind != ',':
            raise bad_request(f"found '{text}', expected: ',' or 'end of string'")
        kind, text = self._value_ahead()
        if kind not in ('id', '!'):
            raise bad_request(f"found '{text}', expected: identifier after ','")
        return False

    def _parse_requirement(self) -> Requirement:
        key, operator = self._parse_key()
        if not operator:
            operator = self._parse_operator()
        if operator in ('exists', '!'):
            return _requirement(key, operator, ())
        values = self._parse_values() if operator in ('in', 'notin') else self._parse_exact_value()
        return _requirement(key, operator, sorted(values))

    def _parse_key(self) -> tuple[str, str]:
        kind, text = self._next_value()
        negated = kind == '!'
        if negated:
            kind, text = self._next_value()
        if kind != 'id':
            raise bad_request(f"found '{text}', expected: identifier")
        _check_key('<nil>', text)
        if negated:
            return text, '!'
        return text, 'exists' if self._value_ahead().kind in ('', ',') else ''

    def _parse_operator(self) -> str:
        token = self._next()
        if token.kind not in _OPERATORS:
            raise bad_request(f"found '{token.text}', expected: {_BINARY}")
        return _OPERATORS[token.kind]

    def _parse_values(self) -> set[str]:
        kind, text = self._next_value()
        if kind != '(':
            raise bad_request(f"found '{text}' expected: '('")
        values: set[str] = set()
        last = ','
        while True:
            kind, text = self._next_value()
            if kind in (',', ')') and last == ',':
                values.add('')
            if kind == ')':
                return values
            if kind == 'id' and last == ',':
                values.add(text)
            elif kind != ',':
                raise bad_request(f"found '{text}', expected: ',' or ')'" if last == 'id'
                                  else f"found '{text}', expected: ',', ')' or identifier")  # fmt: skip
            last = kind

    def _parse_exact_value(self) -> set[str]:
        if self._value_ahead().kind in ('', ','):
            return {''}
        kind, text = self._next_value()
        if kind != 'id':
            raise bad_request(f"found '{text}', expected: identifier")
        return {text}

    def _next(self) -> _Token:
        token = self._tokens[self._position]
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token

    def _next_value(self) -> _Token:
        token = self._value_ahead()
        self._next()
        return token

    def _value_ahead(self) -> _Token:
        """The next token where ``in`` and ``notin`` are plain words, as in ``x in (in)``."""
        token = self._tokens[self._position]
        return _Token('id', token.text) if token.kind in ('in', 'notin') else token


