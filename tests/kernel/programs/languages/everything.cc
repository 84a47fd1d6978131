// What C++ programs do: exceptions through all kinds of functions, threads, iterators, local statics.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct Counted {
	static int alive;
	Counted() { alive++; }
	~Counted() { alive--; }
};
int Counted::alive = 0;

// Exceptions pass through functions with C's names: with something to clean up, and without.
extern "C" void pass_with_cleanup(const std::function<void()> *work)
{
	Counted counted;
	(*work)();
}

extern "C" int pass_plainly(void *work)
{
	(*static_cast<const std::function<void()> *>(work))();
	return Counted::alive;
}

static void deep(int depth)
{
	Counted counted;
	if (depth == 0)
		throw std::runtime_error("deep");
	deep(depth - 1);
}

struct Shape {
	virtual ~Shape() = default;
	virtual double area() const = 0;
};
struct Square : Shape {
	explicit Square(double side) : side(side) {}
	double area() const override { return side * side; }
	double side;
};

static int caught(const std::function<void()> &work)
{
	try {
		work();
	} catch (const std::out_of_range &) {
		return 1;
	} catch (const std::exception &error) {
		return 2;
	} catch (...) {
		return 3;
	}
	return 0;
}

static int sorted_with_exceptions()
{
	std::vector<int> numbers{5, 2, 11, 3, 7};
	int seen = 0;
	try {
		std::sort(numbers.begin(), numbers.end(), [&](int one, int other) {
			if (++seen == 4)
				throw 17;
			return one < other;
		});
	} catch (int value) {
		return value;
	}
	return 0;
}

int main(int count, char **arguments)
{
	std::function<void()> throws = [] { deep(5); };
	std::cout << count << ' ' << arguments[1] << '\n';
	std::cout << caught(throws) << caught([] { std::vector<int>(3).at(7); }) << caught([] { throw 3; });
	std::cout << caught([&] { pass_with_cleanup(&throws); }) << caught([&] { pass_plainly(&throws); }) << '\n';
	std::cout << "alive " << Counted::alive << ", sorted " << sorted_with_exceptions() << '\n';

	std::vector<std::thread> threads;
	std::vector<int> results(5);
	for (int index = 0; index < 5; index++)
		threads.emplace_back([index, &results, &throws] { results[index] = index * 10 + caught(throws); });
	for (auto &thread : threads)
		thread.join();
	for (int result : results)
		std::cout << result << ' ';
	auto future = std::async(std::launch::async, [&]() -> int { throw std::out_of_range("future"); });
	std::cout << caught([&] { future.get(); }) << '\n';

	std::map<std::string, std::unique_ptr<Shape>> shapes;
	for (int side = 1; side < 8; side++)
		shapes[std::to_string(side * 37 % 11)] = std::make_unique<Square>(side);
	std::ostringstream text;
	for (const auto &[name, shape] : shapes)
		text << name << '=' << shape->area() << ' ';
	std::cout << text.str() << '\n';
	std::exception_ptr kept;
	try {
		std::stoi("no number");
	} catch (...) {
		kept = std::current_exception();
	}
	std::cout << caught([&] { std::rethrow_exception(kept); }) << '\n';
	return caught([] { std::ifstream("/no/such/file").exceptions(std::ios::failbit); });
}
